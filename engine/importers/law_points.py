"""Tables of points that laws are fitted to directly: which column is what, which rows are points, what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.importers.columns import EPOCHS, MOST_NATS, NEGATIVE_EPOCHS, SYNONYMS, choose_columns, read_number
from engine.importers.recorded import Unread
from engine.importers.table import open_table
from store.errors import ConfigError, DataError

QUANTITIES: dict[str, tuple[str, ...]] = {
    **{
        name: SYNONYMS[name]
        for name in ("loss", "n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "zero_shot_loss")
    },
    "pretrain_tokens": ("tokens_seen", *(name for name in SYNONYMS["tokens_seen"] if name != "pretrain_tokens")),
    "share": ("r",),
    "quality": ("Q", "base_zero_shot_loss"),
    **dict.fromkeys(EPOCHS, ()),
    "weight": (),
    "seed": (),
    "group": SYNONYMS["run"] + ("run",),
    "role": (),
    "corpus": SYNONYMS["eval_set"] + ("eval_set",),
    "domain": (),
    "method": (),
    "variant": (),
    "newlines": (),
    "tokenizer": ("tokenizer_id",),
}
"""Quantities of a point and what else their columns are called, in whatever case."""
TEXTS = frozenset({"group", "role", "corpus", "domain", "method", "variant", "newlines", "tokenizer"})
SHARES = ("replay_ratio", "share")
Row = dict[str, Any]


@dataclass(frozen=True)
class PointTable:
    """``rows`` hold the quantities (numbers, None where there is none), ``place``, and the file's own columns."""

    rows: tuple[Row, ...]
    chosen: Mapping[str, str]
    """Quantity to column; of several files, of the first that has it."""
    left_out: tuple[Unread, ...]
    numeric: frozenset[str]
    """Columns, by their names in the file or as quantities, whose every value is a number."""
    texts: frozenset[str]
    """All other columns."""


def read_points(
    paths: Sequence[Path], mapped: Mapping[str, str], more: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> PointTable:
    """The rows of all tables. ``mapped``: quantity → column; ``more``: further quantities, numbers, and their synonyms.

    Rows that are no points (no loss, a loss that is not positive, D that is not A·N, the same as an earlier one) are
    left out with their reasons. Raises ConfigError for columns that cannot be what they are taken for, and DataError
    for a file that is no table.
    """
    rows: list[Row] = []
    chosen: dict[str, str] = {}
    left_out: list[Unread] = []
    quantities = {**QUANTITIES, **more}
    for path in paths:
        names, lines = open_table(path)
        columns = choose_columns(names, mapped, str(path), quantities)
        chosen = {**columns, **chosen}
        read = list(_read(path, lines, columns, left_out, quantities, several=len(paths) > 1))
        if _is_pretraining(read, columns, mapped):
            for row in read:
                row["pretrain_tokens"], row["adapt_tokens"] = row["adapt_tokens"], None
        rows += [_complete(row) for row in read]
    kept = tuple(_drop_faulty(rows, left_out))
    if not kept:
        first = f"; the first, {left_out[0].place}: {left_out[0].reason}" if left_out else ""
        raise DataError(
            f"{' and '.join(map(str, paths))}: none of {len(left_out)} rows is a point{first}",
            "A row is one measured loss with N, P, D, ρ …",
        )
    names = dict.fromkeys(name for row in rows for name in row)
    numeric = frozenset(name for name in names if name not in TEXTS and _is_numeric(row.get(name) for row in rows))
    return PointTable(kept, chosen, tuple(left_out), numeric, frozenset(names) - numeric - {"file"})


def _read(
    path: Path,
    lines: Iterable[tuple[str, Any]],
    columns: Mapping[str, str],
    left_out: list[Unread],
    quantities: Iterable[str],
    *,
    several: bool,
) -> Iterable[Row]:
    for place, line in lines:
        if isinstance(line, str):
            left_out.append(Unread(path, place, line))
            continue
        row: Row = {**line, "place": f"{path.name}, {place}" if several else place, "file": path}
        fault = ""
        for quantity in quantities:
            value = line.get(columns[quantity]) if quantity in columns else None
            try:
                row[quantity] = _text(value) if quantity in TEXTS else read_number(value)
            except (TypeError, ValueError):
                fault = fault or f"{columns[quantity]} is {value!r}, which is no number"
        if fault:
            left_out.append(Unread(path, place, fault))
            continue
        for quantity in SHARES:
            value = row[quantity]
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(
                    f"{path}, {place}: {columns[quantity]} is {value:g}; a share lies between 0 and 1",
                    "If it is a percentage, divide it by 100.",
                )
        yield row


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _is_numeric(values: Iterable[Any]) -> bool:
    found = False
    for value in values:
        try:
            found = read_number(value) is not None or found
        except (TypeError, ValueError):
            return False
    return found


def _is_pretraining(rows: Sequence[Row], columns: Mapping[str, str], mapped: Mapping[str, str]) -> bool:
    """Whether a column ``D`` that nobody explained is of pretraining: P·N everywhere, and nothing of an adaptation."""
    if "adapt_tokens" in mapped or columns.get("adapt_tokens", "").lower() != "d" or "ptpp" not in columns:
        return False
    if {"replay_ratio", "share", "zero_shot_loss", "atpp", "pretrain_tokens"} & columns.keys():
        return False
    return bool(rows) and all(
        row["adapt_tokens"]
        and row["n_params"]
        and row["ptpp"]
        and math.isclose(row["adapt_tokens"], row["n_params"] * row["ptpp"], rel_tol=0.01)
        for row in rows
    )


def _complete(row: Row) -> Row:
    """A from D or D from A; P from the tokens of pretraining or they from P."""
    n = row["n_params"]
    for per_parameter, tokens in (("atpp", "adapt_tokens"), ("ptpp", "pretrain_tokens")):
        if n and row[per_parameter] is None and row[tokens] is not None:
            row[per_parameter] = row[tokens] / n
        elif n and row[tokens] is None and row[per_parameter] is not None:
            row[tokens] = row[per_parameter] * n
    return row


def _drop_faulty(rows: Iterable[Row], left_out: list[Unread]) -> Iterable[Row]:
    seen: dict[tuple[Any, ...], str] = {}
    for row in rows:
        reason = next((reason for test, reason in _FAULTS if test(row)), "")
        key = tuple(row[quantity] for quantity in QUANTITIES)
        if not reason and key in seen:
            reason = f"the same as {seen[key]}"
        if reason:
            left_out.append(Unread(row["file"], row["place"], reason))
        else:
            seen[key] = row["place"]
            yield row


def _at_most(name: str, least: float = 0.0) -> Callable[[Row], bool]:
    return lambda row: row[name] is not None and row[name] <= least


def _differs(tokens: str, per_parameter: str) -> Callable[[Row], bool]:
    return lambda row: (
        row[tokens] is not None
        and row[per_parameter] is not None
        and not math.isclose(row[tokens], row[per_parameter] * row["n_params"], rel_tol=0.05)
    )


_FAULTS: tuple[tuple[Callable[[Row], bool], str], ...] = (
    (lambda row: row["loss"] is None, "it has no loss"),
    (_at_most("loss"), "its loss is not positive"),
    (lambda row: row["loss"] > MOST_NATS, f"its loss is above {MOST_NATS:g}: losses are in nats per token"),
    (lambda row: row["n_params"] is None, "it has no number of parameters"),
    (_at_most("n_params"), "N is not positive"),
    (_at_most("ptpp"), "P is not positive"),
    (_at_most("zero_shot_loss"), "its zero-shot loss is not positive"),
    (_at_most("quality"), "its base-corpus loss is not positive"),
    (_at_most("weight"), "its weight is not positive"),
    NEGATIVE_EPOCHS,
    (lambda row: row["adapt_tokens"] is not None and row["adapt_tokens"] < 0, "D is negative"),
    (_differs("adapt_tokens", "atpp"), "D is not A·N"),
    (_differs("pretrain_tokens", "ptpp"), "the tokens of pretraining are not P·N"),
)
