"""Sums over the tokens of a pair of evaluations, gathered in one scan: by type, document, class, passage and position.

A scan goes over pieces of the text; every sum takes from each piece what it needs. So the losses are read once,
whatever is asked, and only a piece of them is in memory. Only positions predicted both before and after count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

PASSAGE_TOKENS = 64


@dataclass(frozen=True, eq=False)
class Piece:
    """Positions predicted in both evaluations, in the order of the text; arrays of shape (positions,).

    ``place`` is the number of a token in the stream. A passage is never split between two pieces.
    """

    place: np.ndarray
    token_id: np.ndarray
    document: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @cached_property
    def delta(self) -> np.ndarray:
        """ℓ1 − ℓ0 in nats, float64."""
        return self.after.astype(np.float64) - self.before

    def of(self, chosen: np.ndarray) -> Piece:
        """Only positions whose token type is ``chosen``, as ``choose`` makes it."""
        kept = np.flatnonzero(chosen.take(self.token_id, mode="clip"))
        return Piece(*(column[kept] for column in (self.place, self.token_id, self.document, self.before, self.after)))


class Sum(Protocol):
    """Something that a scan gathers."""

    def add(self, piece: Piece) -> None: ...


def scan(pieces: Iterable[Piece], *sums: Sum) -> None:
    """Let every sum take its part of every piece."""
    for piece in pieces:
        if len(piece.place):
            for one in sums:
                one.add(piece)


def choose(token_ids: Iterable[int]) -> np.ndarray:
    """These token ids as bool by token id; the last element stands for every larger one."""
    ids = np.fromiter(token_ids, np.int64)
    chosen = np.zeros(int(ids.max(initial=-1)) + 2, bool)
    chosen[ids] = True
    return chosen


class Tally:
    """Counts and sums of several columns by a whole number from 0 on; grows with the numbers it meets."""

    def __init__(self, columns: int) -> None:
        self.counts = np.zeros(0, np.int64)
        self.sums = [np.zeros(0) for _ in range(columns)]

    def add(self, keys: np.ndarray, *columns: np.ndarray) -> None:
        """Count ``keys`` in, and add each column's values to its sums."""
        low, high = int(keys.min()), int(keys.max()) + 1
        if high > len(self.counts):
            # Twice as much as is needed, or ever longer texts would copy their sums time and again.
            self.counts = _grown(self.counts, 2 * high)
            self.sums = [_grown(one, 2 * high) for one in self.sums]
        near = keys - low
        self.counts[low:high] += np.bincount(near, minlength=high - low)
        for own, values in zip(self.sums, columns, strict=True):
            own[low:high] += np.bincount(near, weights=values, minlength=high - low)

    def found(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Keys that were met, ascending, their counts and sums."""
        keys = np.flatnonzero(self.counts)
        return keys, self.counts[keys], [one[keys] for one in self.sums]


class TypeSums:
    """Counts and sums of losses by token type."""

    def __init__(self) -> None:
        self._tally = Tally(2)

    def add(self, piece: Piece) -> None:
        self._tally.add(piece.token_id, piece.before, piece.after)

    def columns(self) -> dict[str, np.ndarray]:
        """``token_id count sum_before sum_after``, by token id."""
        keys, counts, (before, after) = self._tally.found()
        return {"token_id": keys, "count": counts, "sum_before": before, "sum_after": after}


class DocumentSums:
    """Counts and sums of losses by document; of the types that ``choose`` chose, of all without."""

    def __init__(self, chosen: np.ndarray | None = None) -> None:
        self._tally = Tally(2)
        self._chosen = chosen

    def add(self, piece: Piece) -> None:
        own = piece if self._chosen is None else piece.of(self._chosen)
        if len(own.place):
            self._tally.add(own.document, own.before, own.after)

    def columns(self) -> dict[str, np.ndarray]:
        """``document count sum_before sum_after sum_delta``, by document."""
        keys, counts, (before, after) = self._tally.found()
        sums = {"sum_before": before, "sum_after": after, "sum_delta": after - before}
        return {"document": keys, "count": counts, **sums}


class ClassSums:
    """Counts and sums of ℓ1 − ℓ0 by document and class.

    ``class_of`` is the class (from 0) by token id, its last element that of every larger one.
    """

    def __init__(self, class_of: np.ndarray, classes: int) -> None:
        self._class_of, self._classes = class_of, classes
        self._tally = Tally(1)

    def add(self, piece: Piece) -> None:
        keys = piece.document.astype(np.int64) * self._classes + self._class_of.take(piece.token_id, mode="clip")
        self._tally.add(keys, piece.delta)

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Documents (n,), and of each by class (n, classes): positions, and Σ(ℓ1 − ℓ0) in nats."""
        keys, counts, (deltas,) = self._tally.found()
        documents, rows = np.unique(keys // self._classes, return_inverse=True)
        count, delta = (np.zeros((len(documents), self._classes), dtype) for dtype in (np.int64, np.float64))
        count[rows, keys % self._classes] = counts
        delta[rows, keys % self._classes] = deltas
        return documents, count, delta


class PositionSums:
    """Counts and sums of losses by ``context_of(place)``, the tokens a model had read, in buckets of ``width``."""

    def __init__(self, context_of: Callable[[np.ndarray], np.ndarray], width: int) -> None:
        self._context_of, self._width = context_of, width
        self._tally = Tally(2)

    def add(self, piece: Piece) -> None:
        self._tally.add(self._context_of(piece.place) // self._width, piece.before, piece.after)

    def columns(self) -> dict[str, np.ndarray]:
        """``position`` (start of the bucket), ``count``, mean losses ``before`` and ``after``."""
        keys, counts, (before, after) = self._tally.found()
        return {"position": keys * self._width, "count": counts, "before": before / counts, "after": after / counts}


class PassageSums:
    """Counts and sums of ℓ1 − ℓ0 by passage; of the types that ``choose`` chose, of all without."""

    def __init__(self, chosen: np.ndarray | None = None) -> None:
        self._chosen = chosen
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, piece: Piece) -> None:
        own = piece if self._chosen is None else piece.of(self._chosen)
        if not len(own.place):
            return
        number = own.place // PASSAGE_TOKENS
        starts = np.flatnonzero(np.concatenate(([True], number[1:] != number[:-1])))
        counts = np.diff(np.append(starts, len(number)))
        self._parts.append((number[starts], counts, np.add.reduceat(own.delta, starts), own.document[starts]))

    def ranked(self, limit: int, *, falling: bool = False) -> list[tuple[int, int, float, int]]:
        """Number, positions, Σ(ℓ1 − ℓ0) and document of the passages that rise most (or fall), the first first."""
        if not self._parts:
            return []
        number, counts, deltas, document = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        order = np.lexsort((number, deltas if falling else -deltas))[:limit]
        columns = (number[order], counts[order], deltas[order], document[order])
        return list(zip(*(column.tolist() for column in columns), strict=True))


def _grown(values: np.ndarray, size: int) -> np.ndarray:
    grown = np.zeros(size, values.dtype)
    grown[: len(values)] = values
    return grown
