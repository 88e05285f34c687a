"""Tokens where no tokenizer is given: the pieces that ``odyssey audit`` counts, numbered by a hash of their text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from engine.audit.pieces import split_pieces

_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Thai, Lao, Burmese, Khmer, kana and Han are written without spaces: each character is a token, not each sentence."""


class PieceTokenizer:
    """Words with the space before them, numbers, marks and line ends. A piece has the same id in every text."""

    tokenizer_id = "pieces"
    source = "pieces"
    vocab_size = 1 << 62

    def __init__(self) -> None:
        self._ids: dict[str, list[int]] = {}
        self._texts: dict[int, str] = {}

    def encode(self, texts: Iterable[str]) -> Iterator[NDArray[np.int64]]:
        """Token ids of each text, 1-D."""
        for text in texts:
            ids: list[int] = []
            for piece in split_pieces(text):
                ids += self._ids.get(piece) or self._number(piece)
            yield np.array(ids, dtype=np.int64)

    def decode(self, windows: NDArray[np.int64]) -> list[str]:
        """Windows [n, length] of what was encoded back to their texts."""
        return ["".join(self._texts[token] for token in row).strip() for row in windows.tolist()]

    def _number(self, piece: str) -> list[int]:
        parts = [piece] if _UNSPACED.search(piece) is None else list(piece)
        ids = [int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "big") >> 2 for part in parts]
        self._texts.update(zip(ids, parts, strict=True))
        self._ids[piece] = ids
        return ids
