"""The documents of one file as a token stream: one follows the other directly, as in evaluation sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.data.encoding import ByteEncoder


@dataclass(frozen=True)
class Stream:
    """All arrays (n,), aligned: ``document`` counts from 0, ``byte_start``, ``byte_end`` and ``position`` within it."""

    tokens: np.ndarray
    document: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray
    position: np.ndarray
    n_documents: int

    @classmethod
    def of(cls, texts: Sequence[str], encoder: ByteEncoder) -> Stream:
        encoded = [encoder.encode(text) for text in texts]
        lengths = [len(ids) for ids, _ in encoded]
        nothing = np.empty(0, np.int64)
        return cls(
            tokens=np.concatenate([ids for ids, _ in encoded]),
            document=np.repeat(np.arange(len(texts), dtype=np.int32), lengths),
            byte_start=np.concatenate([np.append([0], ends[:-1]) if len(ends) else nothing for _, ends in encoded]),
            byte_end=np.concatenate([ends for _, ends in encoded]),
            position=np.concatenate([np.arange(length) for length in lengths]),
            n_documents=len(texts),
        )

    @property
    def token_sizes(self) -> np.ndarray:
        """Bytes of each token."""
        return self.byte_end - self.byte_start
