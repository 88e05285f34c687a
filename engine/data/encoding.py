"""Texts to token ids, together with the bytes of the text that each token covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.data.token_bytes import byte_ends

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer


@dataclass(frozen=True)
class ByteEncoder:
    """A tokenizer that says where its tokens end."""

    tokenizer: LoadedTokenizer
    lengths: np.ndarray
    """Bytes of each token id, int64; empty where a token is no fixed string of bytes."""

    @classmethod
    def of(cls, tokenizer: LoadedTokenizer) -> ByteEncoder:
        content = tokenizer.token_bytes if tokenizer.byte_level else ()
        return cls(tokenizer, np.array([len(text) for text in content], dtype=np.int64))

    def encode(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and, int64, the byte at which each ends; both (n,), without special tokens."""
        if not text:
            return np.empty(0, self.tokenizer.dtype), np.empty(0, np.int64)
        if self.tokenizer.byte_level:
            (ids,) = self.tokenizer.encode([text])
            return ids, byte_ends(text, ids, self.lengths, [])
        encoding = self.tokenizer.fast.encode(text, add_special_tokens=False)
        ids = np.asarray(encoding.ids, dtype=self.tokenizer.dtype)
        return ids, byte_ends(text, ids, self.lengths, encoding.offsets)
