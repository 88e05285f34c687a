"""Two token tables side by side, row by row: the same tokens predicted at the same places, or why they are not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from store.arrays import numbers_of, present
from store.errors import ConfigError, DataError, OdysseyError
from store.exchange.token_tables import TokenTable, open_table
from store.pair_sums import Piece

if TYPE_CHECKING:
    import pyarrow as pa

READ = ("document", "token_id", "loss")
ALIGNED = ("document", "token_id", "byte_start", "byte_end", "position", "block")
"""Columns that must be equal in both tables, where both have them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Consecutive rows of a pair, ``first`` the number of the first; arrays of shape (rows,).

    ``before`` and ``after``: losses, float64, NaN where nothing was predicted; ``size``: bytes of each token, or None;
    ``words``: the rest of the table before.
    """

    first: int
    document: np.ndarray
    token_id: np.ndarray
    before: np.ndarray
    after: np.ndarray
    size: np.ndarray | None
    words: pa.Table

    def piece(self) -> Piece:
        """The predicted positions."""
        there = np.flatnonzero(~np.isnan(self.before))
        return Piece(
            self.first + there, self.token_id[there], self.document[there], self.before[there], self.after[there]
        )


@dataclass(frozen=True)
class TablePair:
    """Two tables of different evaluations; whether they fit is found out as they are read."""

    before: TokenTable
    after: TokenTable

    def read_checked(self) -> Iterator[Rows]:
        """Everything, with every check. ``DataError`` where the two are no pair."""
        shared = [name for name in ALIGNED if name in self.before.columns and name in self.after.columns]
        columns = [*shared, "loss"]
        at = 0
        both = (self.before.read([*columns, "token", "token_class"]), self.after.read(columns))
        for before, after in zip_longest(*both):
            rows = min(0 if part is None else part.num_rows for part in (before, after))
            if rows:
                yield self._check(at, before.slice(0, rows), after.slice(0, rows), shared)
            if before is None or after is None or before.num_rows != after.num_rows:
                raise self._other_tokens(at + rows, "one of them ends")
            at += rows

    def pieces(self) -> Iterator[Piece]:
        """The predicted positions once more, without the checks."""
        at = 0
        for before, after in zip(self.before.read(READ), self.after.read(("loss",)), strict=True):
            document, token_id = (whole(before, name) for name in ("document", "token_id"))
            yield Rows(at, document, token_id, losses(before)[0], losses(after)[0], None, before).piece()
            at += before.num_rows

    def _check(self, at: int, before: pa.Table, after: pa.Table, shared: Sequence[str]) -> Rows:
        columns = {}
        for name in shared:
            own, other = whole(before, name), whole(after, name)
            refuse_nulls(self.before, before, own, name, at)
            refuse_nulls(self.after, after, other, name, at)
            columns[name] = own
            differing = np.flatnonzero(own != other)
            if len(differing):
                row = int(differing[0])
                raise self._other_tokens(at + row, f"{name} {own[row]} and {other[row]}")
        (first, missing), (last, absent) = losses(before), losses(after)
        for table, values, gone in ((self.before, first, missing), (self.after, last, absent)):
            if not np.isfinite(values[~gone]).all():
                raise not_finite(table)
        if (missing != absent).any():
            raise self._other_predictions()
        size = columns["byte_end"] - columns["byte_start"] if {"byte_start", "byte_end"} <= {*columns} else None
        return Rows(at, columns["document"], columns["token_id"], first, last, size, before)

    def _other_tokens(self, row: int, what: str) -> DataError:
        """Rows that do not correspond; of one text by two tokenizers, what can be compared all the same."""
        message = f"{self.before.name} and {self.after.name} hold other tokens: in row {row + 1:,} {what}"
        tokenizers = [table.facts.get("tokenizer_id") for table in (self.before, self.after)]
        if tokenizers[0] is not None and tokenizers[0] == tokenizers[1]:
            return DataError(message, "They are of one tokenizer, so the texts differ: evaluate both on the same text.")
        found = [measure_text(table) for table in (self.before, self.after)]
        if any(one is None for one in found) or found[0].sizes != found[1].sizes:
            return DataError(message, "Evaluate both models on the same text, with the same tokenizer.")
        bits = [one.bits_per_byte for one in found]
        return DataError(
            f"{message}: one text, by the bytes of its documents, cut by two tokenizers",
            f"Their tokens do not correspond; only bits per byte can be compared: {bits[0]:.4f} before, {bits[1]:.4f} "
            "after.",
        )

    def _other_predictions(self) -> DataError:
        count, first = 0, None
        at = 0
        for before, after in zip(self.before.read(("loss",)), self.after.read(("loss",)), strict=False):
            rows = min(before.num_rows, after.num_rows)
            differing = losses(before)[1][:rows] != losses(after)[1][:rows]
            count += int(differing.sum())
            if first is None and differing.any():
                first = at + int(differing.argmax())
            at += before.num_rows
        return DataError(
            f"{self.before.name} and {self.after.name} predict other tokens: {count:,} have a loss in one of them "
            f"only, the first in row {(first or 0) + 1:,}",
            "Evaluate both with the same scheme: windows, stride and BOS.",
        )


@dataclass(frozen=True)
class MeasuredText:
    """What a table says of its text: bytes of every document, and bits per byte of the predicted tokens."""

    sizes: dict[int, int]
    bits_per_byte: float


def open_table_pair(before: str, after: str) -> TablePair:
    """Two tables, by name. Errors as of ``open_table``; one evaluation twice and other schemes are refused."""
    first, last = open_table(before), open_table(after)
    if first.path.samefile(last.path) and first.evaluation == last.evaluation:
        raise ConfigError(f"{last.name} is given twice", "Give the losses before and those after adaptation.")
    schemes = [table.facts.get("scheme") for table in (first, last)]
    if all(isinstance(scheme, dict) for scheme in schemes) and schemes[0] != schemes[1]:
        names = [name for name in sorted({*schemes[0], *schemes[1]}) if schemes[0].get(name) != schemes[1].get(name)]
        values = ", ".join(f"{name} {schemes[0].get(name)} and {schemes[1].get(name)}" for name in names)
        raise DataError(
            f"{first.name} and {last.name} were computed by different schemes: {values}",
            "Losses are comparable only with the same windows, stride, BOS and precision.",
        )
    return TablePair(first, last)


def measure_text(table: TokenTable) -> MeasuredText | None:
    """Sizes and bits per byte; None where the table does not know bytes, or its losses are unusable."""
    if not table.has_bytes:
        return None
    sizes: dict[int, int] = {}
    total, n_bytes = 0.0, 0
    try:
        for part in table.read(("document", "byte_start", "byte_end", "loss")):
            document, start, end = (whole(part, name) for name in ("document", "byte_start", "byte_end"))
            values, missing = losses(part)
            starts = np.flatnonzero(np.diff(document, prepend=-1))
            for one, size in zip(document[starts].tolist(), np.maximum.reduceat(end, starts).tolist(), strict=True):
                sizes[one] = max(sizes.get(one, 0), size)
            total += float(values[~missing].sum())
            n_bytes += int((end - start)[~missing].sum())
    except OdysseyError:
        return None
    return MeasuredText(sizes, total / math.log(2) / n_bytes) if n_bytes else None


def whole(table: pa.Table, name: str) -> np.ndarray:
    """A column of whole numbers as int64."""
    return numbers_of(flat(table, name, "int64"), np.int64)


def losses(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Losses as float64, NaN where there is none, and where that is."""
    values = flat(table, "loss", "float64")
    return numbers_of(values, np.float64), ~present(values)


def flat(table: pa.Table, name: str, kind: str) -> pa.Array:
    """A column in one piece."""
    import pyarrow as pa

    column = table[name].cast(kind).combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def refuse_nulls(table: TokenTable, part: pa.Table, values: np.ndarray, name: str, at: int) -> None:
    """``DataError`` for a missing value in a column of whole numbers, or a negative one."""
    if part[name].null_count:
        row = int(np.flatnonzero(~present(flat(part, name, "int64")))[0])
        raise DataError(f"{table.name}: {name} is missing in row {at + row + 1:,}")
    if len(values) and values.min() < 0:
        raise DataError(f"{table.name}: {name} is {values.min()} in row {at + int(values.argmin()) + 1:,}")


def not_finite(table: TokenTable) -> DataError:
    """How many losses are no finite numbers, and where the first is."""
    count, first, at = 0, 0, 0
    for part in table.read(("loss",)):
        values, missing = losses(part)
        bad = ~np.isfinite(values) & ~missing
        if not count and bad.any():
            first = at + int(bad.argmax())
        count += int(bad.sum())
        at += part.num_rows
    which = "1 loss is no finite number" if count == 1 else f"{count:,} losses are no finite numbers"
    return DataError(
        f"{table.name}: {which} (NaN or infinite), the first in row {first + 1:,}",
        "A model with such losses has diverged; a token that was not predicted has no loss (null, or empty).",
    )
