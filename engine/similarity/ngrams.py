"""Hashed n-grams of token windows: codes that are the same on every machine, and an embedder that needs no model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NGRAM_DIM = 1024
NGRAM_ORDERS = (1, 2)
HASH_MULTIPLIER = 0x9E3779B97F4A7C15


class NgramEmbedder:
    """Signed hashing of token unigrams and bigrams (Weinberger et al. 2009) with sublinear counts, unit length."""

    name = "ngrams"

    def __init__(self, encoder: str, dim: int = NGRAM_DIM) -> None:
        self.encoder = encoder
        self.dim = dim
        self.identity: dict[str, Any] = {
            "embedder": self.name,
            "version": 1,
            "dim": dim,
            "orders": list(NGRAM_ORDERS),
        }

    def embed(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [n, dim]; expected dot products equal those of the unhashed bags of n-grams."""
        table = np.zeros((len(windows), self.dim))
        for order in NGRAM_ORDERS:
            rows, code, counts = count_ngrams(hash_ngrams(windows, order))
            sign = np.where(code >> np.uint64(63), 1.0, -1.0)
            column = ((code >> np.uint64(20)) % np.uint64(self.dim)).astype(np.int64)
            np.add.at(table, (rows, column), sign * np.log1p(counts))
        norm = np.linalg.norm(table, axis=1, keepdims=True)
        return (table / np.where(norm > 0, norm, 1.0)).astype(np.float32)


def hash_ngrams(windows: NDArray[np.int64], order: int) -> NDArray[np.uint64]:
    """64-bit codes [n, length − order + 1] of all runs of ``order`` tokens, the same on every machine."""
    length = windows.shape[1] - order + 1
    code = np.full((len(windows), max(length, 0)), order, dtype=np.uint64)
    for offset in range(order):
        token = windows[:, offset : offset + length].astype(np.uint64)
        code = (code ^ (token + np.uint64(1))) * np.uint64(HASH_MULTIPLIER)
        code ^= code >> np.uint64(29)
    return code * np.uint64(HASH_MULTIPLIER)


def count_ngrams(
    hashed: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Distinct codes of every row of [n, m] codes: ``(row, code, count)``, ordered by row."""
    if hashed.size == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    flat = np.sort(hashed, axis=1).ravel()
    rows = np.repeat(np.arange(len(hashed)), hashed.shape[1])
    first = np.flatnonzero(np.r_[True, (flat[1:] != flat[:-1]) | (rows[1:] != rows[:-1])])
    return rows[first], flat[first], np.diff(np.r_[first, len(flat)])
