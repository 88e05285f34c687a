"""A table of points made ready for fits: which rows are fitted, which are held out, which belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.importers.columns import EPOCHS
from odyssey_tui.services.filter import parse_filter
from odyssey_tui.services.format import count
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from engine.importers.law_points import PointTable, Row
    from engine.importers.recorded import Unread

NUMBERS = (
    *("n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "share", "loss", "zero_shot_loss", "quality"),
    *EPOCHS,
)
"""Quantities that become columns of the points as they are."""
SINGLE = ("corpus", "domain", "method", "variant", "newlines", "tokenizer")
"""What a law does not mix."""
UNSAID = {"variant": "none", "newlines": "keep"}
"""What a row is that leaves these out where others do not."""
TRAJECTORY = ("n_params", "ptpp", "replay_ratio", "share", "corpus", "domain", "method", "seed", "role")
"""Rows that agree in these differ in D alone: one trajectory."""
SHOWN = 6


@dataclass(frozen=True)
class LoadedPoints:
    """The rows of one role as columns of ``engine.laws.points.Points``, None where a value is not known."""

    columns: dict[str, list[Any]]
    n_fit: int
    n_held_out: int
    groups: str
    """What the bootstrap resamples, in words."""
    left_out: tuple[Unread, ...]
    """Rows that are no points."""
    n_filtered: int
    """Rows that ``where`` did not accept, or that are of the other role."""
    domain: str = ""
    """What was adapted to, where the table says it."""
    files: tuple[str, ...] = ()
    """Names of the tables."""
    unused: tuple[str, ...] = ()
    """Columns of numbers that are no quantity."""

    @property
    def sentence(self) -> str:
        """How many points there are of what."""
        n_groups = len(set(self.columns["run"]))
        words = f"{self.n_fit} points to fit"
        if self.n_held_out:
            words += f", {self.n_held_out} held out"
        return f"{words}, in {n_groups} groups ({self.groups})."


def load_points(
    paths: Sequence[Path],
    *,
    mapped: dict[str, str],
    role: str,
    where: str = "",
    holdout: Sequence[str] = (),
) -> LoadedPoints:
    """The points of ``role`` in the tables: those ``where`` accepts, held out where any of ``holdout`` does.

    Raises ConfigError for filters that cannot be read or hold nothing (or everything) out, and for values that are no
    shares; DataError where nothing is left, or what is left mixes corpora, domains or methods.
    """
    from engine.importers.law_points import QUANTITIES, read_points

    table = read_points(paths, mapped)
    mine = choose_role(table.rows, role)
    if not mine:
        found = sorted({row["role"] for row in table.rows if row["role"]})
        known = {"target", "base"} & {name.lower() for name in found}
        other = (
            "Take the other (--role; of a plan --base-points)" if known else "Roles are target and base: rename them"
        )
        raise DataError(f"no row has the role {role!r}; there is {', '.join(found)}", f"{other}, or drop the column.")
    accepted = select(table, mine, where, "--where")
    if not accepted:
        raise DataError(f"--where {where!r} accepts none of {len(mine)} rows", tell_values(table, mine, where))
    require_single(accepted)
    held_out = [False] * len(accepted)
    for text in holdout:
        chosen = {id(row) for row in select(table, accepted, text, "--holdout")}
        if not chosen:
            raise ConfigError(f"--holdout {text!r} holds no row out", tell_values(table, accepted, text))
        held_out = [held or id(row) in chosen for held, row in zip(held_out, accepted, strict=True)]
    if all(held_out):
        raise ConfigError("--holdout holds every row out: none is left to fit", "Hold fewer out.")
    groups, words = group(accepted)
    return LoadedPoints(
        columns={
            **{name: [row[name] for row in accepted] for name in NUMBERS if name not in ("replay_ratio", "share")},
            **mixture(accepted, role),
            "quality": qualities(accepted, table.rows, role),
            "weight": [1.0 if row["weight"] is None else row["weight"] for row in accepted],
            "run": groups,
            "split": ["score" if held else "fit" for held in held_out],
            "place": [row["place"] for row in accepted],
        },
        n_fit=held_out.count(False),
        n_held_out=held_out.count(True),
        groups=words,
        left_out=table.left_out,
        n_filtered=len(table.rows) - len(accepted),
        domain=accepted[0]["domain"] or "",
        files=tuple(path.name for path in paths),
        unused=tuple(sorted(table.numeric - set(QUANTITIES) - set(table.chosen.values()))),
    )


def choose_role(rows: Sequence[Row], role: str) -> list[Row]:
    """The rows of ``role``; rows without any are of the one asked for."""
    return [row for row in rows if (row["role"] or role).lower() == role]


def select(table: PointTable, rows: Sequence[Row], text: str, option: str) -> list[Row]:
    """The rows that a filter accepts, over the file's columns and the quantities' names."""
    fields = {name: float if name in table.numeric else str for name in sorted(table.numeric | table.texts)}
    try:
        wanted = parse_filter(text, fields)
    except ConfigError as error:
        error.message = f"{option}: {error.message}"
        raise
    return [row for row in rows if wanted.accepts(as_record(row, table))]


def as_record(row: Row, table: PointTable) -> dict[str, Any]:
    """A row with its numbers as such."""
    from engine.importers.columns import read_number

    return {name: read_number(value) if name in table.numeric else value for name, value in row.items()}


def tell_values(table: PointTable, rows: Sequence[Row], text: str) -> str:
    """The values there are of the columns that a filter names."""
    named = [name for name in sorted(table.numeric | table.texts) if name in text]
    parts = []
    for name in named:
        values = sorted({as_record(row, table)[name] for row in rows if row.get(name) not in (None, "")}, key=str)
        if name in table.numeric:
            values.sort()
        listed = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values[:SHOWN])
        parts.append(f"{name}: {listed or 'nothing'}{' …' if len(values) > SHOWN else ''}")
    return f"There is {'; '.join(parts)}." if parts else "Fewer conditions accept more rows."


def require_single(rows: Sequence[Row]) -> None:
    """Refuse rows of several corpora, domains, methods, variants, forms of the text or tokenizers."""
    for quantity in SINGLE:
        said = {row[quantity] for row in rows}
        values = sorted(said - {None})
        if values and None in said and quantity in UNSAID:
            values = sorted({*values, UNSAID[quantity]})
        if len(values) > 1:
            listed = ", ".join(values[:SHOWN]) + (" …" if len(values) > SHOWN else "")
            one = values[0] if values[0] in said else '""'
            raise DataError(
                f"the rows are of {len(values)} values of {quantity!r}: {listed}; a law is of one",
                f"Choose one: --where '{quantity}={one}'",
            )


def mixture(rows: Sequence[Row], role: str) -> dict[str, list[float | None]]:
    """ρ and r of each row, one from the other where only one is known."""

    def other(value: float | None) -> float | None:
        return value if value is None or role == "base" else 1.0 - value

    return {
        "replay_ratio": [other(row["share"]) if row["replay_ratio"] is None else row["replay_ratio"] for row in rows],
        "share": [other(row["replay_ratio"]) if row["share"] is None else row["share"] for row in rows],
    }


def qualities(rows: Sequence[Row], everything: Sequence[Row], role: str) -> list[float | None]:
    """Loss of each row's checkpoint on its base corpus: as given, else the zero-shot loss in the rows of the base."""
    if role == "base":
        return [row["zero_shot_loss"] if row["quality"] is None else row["quality"] for row in rows]
    known: dict[tuple[Any, ...], list[float]] = {}
    for row in everything:
        if row["role"] == "base" and row["zero_shot_loss"] is not None:
            known.setdefault((row["n_params"], row["ptpp"], row["seed"]), []).append(row["zero_shot_loss"])
    means = {key: math.fsum(values) / len(values) for key, values in known.items()}
    return [
        means.get((row["n_params"], row["ptpp"], row["seed"])) if row["quality"] is None else row["quality"]
        for row in rows
    ]


def group(rows: Sequence[Row]) -> tuple[list[str], str]:
    """The group of each row, and what a group is: as given, else a trajectory, else the row itself."""
    if all(row["group"] is not None for row in rows):
        return [row["group"] for row in rows], "as the table says"
    alone = [f"row-{index}" for index in range(len(rows))], "each row by itself"
    adapted = ("replay_ratio", "share", "ptpp", "zero_shot_loss")
    if all(row["adapt_tokens"] is None or all(row[name] is None for name in adapted) for row in rows):
        return alone
    names: dict[tuple[Any, ...], str] = {}
    keys = [tuple(row[name] for name in TRAJECTORY) for row in rows]
    for key in keys:
        names.setdefault(key, f"trajectory-{len(names) + 1}")
    return ([names[key] for key in keys], "rows that differ in D alone") if len(names) < len(rows) else alone


def tell_left_out(unread: Sequence[Unread]) -> list[str]:
    """Rows that are no points, by reason, with the first places."""
    by_reason: dict[str, list[str]] = {}
    for item in unread:
        # "the same as line 5" and "the same as line 9" are one reason.
        reason = "a duplicate" if item.reason.startswith("the same as") else item.reason
        by_reason.setdefault(reason, []).append(item.place)
    return [
        f"{count(len(places))} row{'' if len(places) == 1 else 's'} left out: {reason} "
        f"({', '.join(places[:3])}{' …' if len(places) > 3 else ''})."
        for reason, places in by_reason.items()
    ]
