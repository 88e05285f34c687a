"""The columns of a ledger's tables, once for the screen, the command line and exports.

A column more is an entry here, and a field of the row it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.drift import percent as moved
from odyssey_tui.services.format import number, signed
from odyssey_tui.services.tables import Column
from odyssey_tui.services.token_text import visible

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.drift import DriftReport
    from odyssey_tui.services.ledger import Ledger
    from odyssey_tui.services.token_details import PositionCurve


@dataclass(frozen=True)
class ShownColumn:
    """A column of a table and, where the screen has it, its cells there (``width`` 0: not on the screen).

    ``wide``: on the screen only where there is room.
    """

    column: Column
    width: int = 0
    wide: bool = False
    title: str = ""
    """Its title on the screen, where that is shorter."""
    text: bool = False
    """Words, aligned to the left."""

    @property
    def key(self) -> str:
        return self.column.key

    @property
    def short_title(self) -> str:
        """Its title on the screen, aligned as its cells are."""
        title = self.title or self.column.title
        return title if self.text else title.rjust(self.width)


def percent(value: float) -> str:
    """A share in percent."""
    return f"{value:.1%}"


def nats(value: float) -> str:
    """A contribution in nats per token of the whole text."""
    return signed(value, 5)


TYPE_COLUMNS: tuple[ShownColumn, ...] = (
    ShownColumn(Column("rank", "#")),
    ShownColumn(Column("text", "token", visible), 12, text=True),
    ShownColumn(Column("token_class", "class"), 11, wide=True, text=True),
    ShownColumn(Column("count", "count", ",", drop=1), 9),
    ShownColumn(Column("loss_before", "before", number, drop=2), 6, wide=True),
    ShownColumn(Column("loss_after", "after", number, drop=2), 6, wide=True),
    ShownColumn(Column("contribution", "contribution", nats), 9, title="contrib."),
    ShownColumn(Column("share", "cumulative", percent), 6, title="share"),
)
DRIFT_COLUMNS: tuple[ShownColumn, ...] = (
    ShownColumn(Column("from_hidden", "hidden", nats), 9),
    ShownColumn(Column("from_output", "output", nats, drop=3), 9, wide=True),
    ShownColumn(Column("hidden_drift", "Δh", moved), 6),
    ShownColumn(Column("hidden_cosine", "cos h", number, drop=6)),
    ShownColumn(Column("input_drift", "Δe", moved, drop=4), 6, wide=True),
    ShownColumn(Column("output_drift", "Δw", moved, drop=5), 6, wide=True),
)
"""Of a pair whose drift was measured: what c_v comes from, and what moved (``services.drift``)."""
BESIDE_DRIFT = ("text", "contribution")
"""Columns of the ledger that stay on the screen beside those of the drift."""
CLASS_COLUMNS: tuple[ShownColumn, ...] = (
    ShownColumn(Column("token_class", "class"), 11, text=True),
    ShownColumn(Column("n_types", "types", ",", drop=3)),
    ShownColumn(Column("count", "count", ",", drop=1)),
    ShownColumn(Column("loss_before", "before", number, drop=2)),
    ShownColumn(Column("loss_after", "after", number, drop=2)),
    ShownColumn(Column("contribution", "contribution", nats), 9, title="contrib."),
    ShownColumn(Column("low", "from", nats), 9, title="from"),
    ShownColumn(Column("high", "to", nats), 9, title="to"),
)
CURVE_COLUMNS: tuple[Column, ...] = (
    Column("position", "position", ","),
    Column("count", "count", ","),
    Column("before", "before", lambda value: number(value, 4)),
    Column("after", "after", lambda value: number(value, 4)),
    Column("delta", "Δ", lambda value: signed(value, 4)),
)


def columns_of(shown: Sequence[ShownColumn]) -> tuple[Column, ...]:
    """The columns of a table on paper."""
    return tuple(one.column for one in shown)


def drift_columns(drift: DriftReport | None) -> tuple[ShownColumn, ...]:
    """Columns of a drift: none where there is none, and one of the embeddings where they are one matrix."""
    if drift is None:
        return ()
    return tuple(one for one in DRIFT_COLUMNS if not (drift.tied and one.key == "output_drift"))


def type_columns(drift: DriftReport | None) -> tuple[Column, ...]:
    """The columns of the types on paper, with those of a drift where there is one."""
    return columns_of((*TYPE_COLUMNS, *drift_columns(drift)))


def type_records(ledger: Ledger, top: int | None = None, drift: DriftReport | None = None) -> list[dict[str, Any]]:
    """The first ``top`` types (all without), by column key; with their drift where one was measured."""
    records = [asdict(row) for row in ledger.rows(top)]
    if drift is None:
        return records
    found = [drift.of_type(record["token_id"]) for record in records]
    keys = [one.key for one in DRIFT_COLUMNS]
    return [
        {**record, **{key: getattr(one, key, None) for key in keys}} for record, one in zip(records, found, strict=True)
    ]


def class_records(ledger: Ledger, intervals: Mapping[str, MeanDifference]) -> list[dict[str, Any]]:
    """The classes, by column key; interval ends are None where there is none."""
    return [
        {**asdict(row), "low": found.low if found else None, "high": found.high if found else None}
        for row in ledger.by_class
        for found in (intervals.get(row.token_class),)
    ]


def curve_records(curve: PositionCurve) -> list[dict[str, Any]]:
    """The points of a curve over positions, by column key."""
    columns = (curve.position, curve.count, curve.before, curve.after, curve.delta)
    names = [column.key for column in CURVE_COLUMNS]
    return [dict(zip(names, row, strict=True)) for row in zip(*(one.tolist() for one in columns), strict=True)]
