"""Word 8-grams as 64-bit hashes: what of one text stands in another, and which documents repeat others.

Text is compared in lower case, words alone (a character each in Chinese and Japanese). A hash of a word is polynomial
in its bytes, of an 8-gram polynomial in its words, each mixed; two different ones agree once in 2⁶⁴. Near-duplicates
are found by MinHash with banding (Broder 1997; Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, chapter 3).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

WORDS = 8
PIECE_BYTES = 1 << 20
MINIMA, BANDS = 64, 16
"""Of each document as many minima are kept, compared in bands of four: a pair of Jaccard similarity s meets in one
with probability 1 − (1 − s⁴)¹⁶, .9997 at s = .8 and .25 at s = .37."""
NEAR = 0.8
"""Jaccard similarity of near-duplicates, as estimated from ``MINIMA`` (standard error .05 there)."""
_PRIME = 0x9E3779B97F4A7C15  # odd, so it has an inverse
_NOT_A_WORD = re.compile(r"[\W_]+")
_ALONE = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff])")


def normalise(text: str) -> str:
    """Lower-case words with a space between them."""
    lowered = unicodedata.normalize("NFC", text).lower()
    if _ALONE.search(lowered):
        lowered = _ALONE.sub(r" \1 ", lowered)
    return _NOT_A_WORD.sub(" ", lowered).strip()


def hash_words(normalised: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The words of documents that ``normalise`` made: a hash of each, (words,) uint64, and its document, int64."""
    numbers = np.array([text.count(" ") + 1 if text else 0 for text in normalised], np.int64)
    content = " ".join(text for text in normalised if text).encode("utf-8", "replace")
    hashes = np.concatenate([_hash_piece(piece) for piece in _cut(content)])
    return hashes, np.repeat(np.arange(len(normalised)), numbers)


def hash_shingles(words: np.ndarray, document: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One hash for every ``WORDS`` consecutive words of one document, (shingles,) uint64, and that document."""
    n = len(words) - WORDS + 1
    if n <= 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    total = np.zeros(n, np.uint64)
    for offset in range(WORDS):
        total = total * np.uint64(_PRIME) + words[offset : offset + n]
    inside = document[:n] == document[WORDS - 1 :]
    return _mix(total[inside]), document[:n][inside]


def minima(shingles: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """MinHash of documents: (documents, MINIMA) uint64; ``offsets`` (documents,) say where each begins, none empty."""
    signature = np.empty((len(offsets), MINIMA), np.uint64)
    for number, factor in enumerate(_factors()):
        signature[:, number] = np.minimum.reduceat(_fold(shingles * factor), offsets)
    return signature


def repeats(signature: np.ndarray) -> np.ndarray:
    """Which documents are near-duplicates of an earlier one, (documents,) bool."""
    found = np.zeros(len(signature), bool)
    for band in np.split(signature, BANDS, axis=1):
        keys = _mix(functools.reduce(lambda total, column: total * np.uint64(_PRIME) + column, band.T))
        order = np.argsort(keys, kind="stable")
        begins = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]]))
        lengths = np.diff(np.concatenate([begins, [len(order)]]))
        first = np.repeat(order[begins], lengths)  # of each bucket the earliest document stands for all
        alike = (signature[order] == signature[first]).mean(axis=1) >= NEAR
        found[order] |= alike & (order != first)
    return found


class Wanted:
    """Shingles to look for; ``seen`` grows with every text that is looked through."""

    def __init__(self, shingles: np.ndarray) -> None:
        self._known, self._inverse = np.unique(shingles, return_inverse=True)
        self._seen = np.zeros(len(self._known), bool)
        self._filter = np.zeros(1 << 22, bool)
        self._filter[self._slots(self._known)] = True

    def look_through(self, shingles: np.ndarray) -> None:
        """Note which of the wanted ones are there."""
        likely = shingles[self._filter[self._slots(shingles)]]
        if len(likely) and len(self._known):
            places = np.minimum(np.searchsorted(self._known, likely), len(self._known) - 1)
            self._seen[places[self._known[places] == likely]] = True

    @property
    def seen(self) -> np.ndarray:
        """For every shingle in the order given, whether it was found: (shingles,) bool."""
        return self._seen[self._inverse]

    def _slots(self, shingles: np.ndarray) -> np.ndarray:
        return (shingles >> np.uint64(42)).astype(np.int64)


def _cut(content: bytes) -> Iterator[bytes]:
    start = 0
    while len(content) - start > PIECE_BYTES:
        end = content.rfind(b" ", start, start + PIECE_BYTES)
        end = end if end > start else start + PIECE_BYTES
        yield content[start:end]
        start = end
    yield content[start:]


def _hash_piece(content: bytes) -> np.ndarray:
    letters = np.frombuffer(content, np.uint8)
    inside = letters != 0x20
    edges = np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    powers, inverses = _powers()
    sums = np.zeros(len(letters) + 1, np.uint64)
    np.cumsum((letters.astype(np.uint64) + np.uint64(1)) * powers[: len(letters)], out=sums[1:])
    return _mix((sums[stops] - sums[starts]) * inverses[starts] + (stops - starts).astype(np.uint64))


@functools.cache
def _powers() -> tuple[np.ndarray, np.ndarray]:
    """Powers of the prime and of its inverse, modulo 2⁶⁴."""
    tables: list[np.ndarray] = []
    for base in (_PRIME, pow(_PRIME, -1, 1 << 64)):
        table = np.full(PIECE_BYTES + 1, base, np.uint64)
        table[0] = 1
        tables.append(np.cumprod(table, dtype=np.uint64))
    return tables[0], tables[1]


@functools.cache
def _factors() -> Sequence[np.uint64]:
    return [np.uint64(value | 1) for value in _mix(np.arange(1, MINIMA + 1, dtype=np.uint64))]


def _fold(values: np.ndarray) -> np.ndarray:
    # The high half of a product depends on all bits, the low half on low ones only.
    return values ^ (values >> np.uint64(32))


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
