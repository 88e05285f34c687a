"""The columns of the runs table and which of them fit a width."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from odyssey_tui.services.format import STATE_GLYPHS, bar, duration, number, signed, spread_text, state_text
from odyssey_tui.services.run_tree import MIXED, count_states, name_seed
from odyssey_tui.widgets.table_cells import TableColumn

if TYPE_CHECKING:
    from odyssey_tui.services.run_groups import RunGroup
    from odyssey_tui.services.run_tree import RunUnit
    from odyssey_tui.services.runs import RunRow
    from odyssey_tui.widgets.long_table import Cells

SHORTEST_NAME, READABLE_NAME, LONGEST_NAME = 12, 20, 44
SPREAD_CELLS = 5
"""What ± and a standard deviation take."""
COUNT_CELLS = 8
"""What the number of runs of a group takes, which stands under the states."""
LEAST_NUMBER = 3
BAR_CELLS = 10
FEW = 16
INDENT = "  "
"""Before the name of one of several seeds."""
MOVEMENT = ("state", "share", "eta_s")
MOVING = frozenset({"running", "starting", "stopping"})
STATE_STYLES = {
    "done": "",
    "running": "bold",
    "starting": "bold",
    "failed": "bold reverse",
    "lost": "bold reverse",
    "queued": "dim",
    "held": "dim italic",
    "cancelled": "dim strike",
}


@dataclass(frozen=True)
class RunColumn:
    """``width`` at most; ``keep``: the order in which columns survive a narrow screen, 0 first; ``right``: numbers."""

    key: str
    title: str
    width: int
    keep: int
    draw: Callable[[RunRow], Text | str]
    right: bool = False
    averaged: str = ""
    """The field whose mean and spread stand there for several seeds."""
    reads: tuple[str, ...] = ()
    """The fields that it draws, where they are not the one of its name alone."""


def state(row: RunRow) -> Text:
    """The state; of what runs, how much is done and the time left."""
    style = STATE_STYLES.get(row.state, "")
    if row.share is None or row.state not in MOVING:
        return Text(state_text(row.state), style)
    left = f" {duration(row.eta_s)}" if row.eta_s is not None else ""
    return Text(f"{STATE_GLYPHS[row.state]} {row.share:.0%}{left}", style)


def progress(row: RunRow) -> str:
    """A bar for what runs; nothing for the rest."""
    return bar(row.share, BAR_CELLS) if row.share is not None and row.state in MOVING else ""


def short(value: float | None) -> str:
    """An axis value: ``0.25``, ``15``, nothing where the run has none."""
    return "" if value is None else f"{value:g}"


def tags(row: RunRow) -> str:
    """Tags, and how many notes there are."""
    return " ".join([*row.tags, *([f"✎{row.n_notes}"] if row.n_notes else [])])


def change(delta: float | None) -> str:
    """ΔL with its sign, nothing where it was not measured."""
    return "" if delta is None else signed(delta)


RUN_COLUMNS: tuple[RunColumn, ...] = (
    RunColumn("state", "state", 11, 0, state, reads=MOVEMENT),
    RunColumn("domain", "domain", 10, 9, lambda row: row.domain or ""),
    RunColumn("replay", "ρ", 5, 3, lambda row: short(row.replay), right=True),
    RunColumn("ptpp", "P", 5, 4, lambda row: short(row.ptpp), right=True),
    RunColumn("atpp", "A", 5, 5, lambda row: short(row.atpp), right=True),
    RunColumn("size", "size", 6, 6, lambda row: row.size or ""),
    RunColumn("method", "method", 6, 10, lambda row: row.method or ""),
    RunColumn("progress", "progress", BAR_CELLS, 8, progress, reads=MOVEMENT),
    RunColumn("tags", "tags", 16, 11, tags, reads=("tags", "n_notes")),
    RunColumn("loss", "loss", 6, 7, lambda row: "" if row.loss is None else number(row.loss), True, "loss"),
    RunColumn("delta_target", "ΔL tgt", 7, 1, lambda row: change(row.delta_target), True, "delta_target"),
    RunColumn("delta_base", "ΔL base", 7, 2, lambda row: change(row.delta_base), True, "delta_base"),
)
BYTE_COLUMNS: tuple[RunColumn, ...] = (
    *RUN_COLUMNS[:-3],
    RunColumn("bits", "bits/B", 6, 7, lambda row: "" if row.bits is None else number(row.bits), True, "bits"),
    RunColumn("delta_bits", "Δb tgt", 7, 1, lambda row: change(row.delta_bits), True, "delta_bits"),
    RunColumn("delta_base_bits", "Δb base", 7, 2, lambda row: change(row.delta_base_bits), True, "delta_base_bits"),
)
"""Where tokenizers differ: losses in bits per byte."""
ESSENTIAL = 6
"""Columns kept at the price of a longer name, down to READABLE_NAME cells; for ΔL down to SHORTEST_NAME."""


@dataclass(frozen=True)
class Widths:
    """How many cells the content of some lines takes: their longest name, and by column."""

    name: int
    columns: Mapping[str, int]


def measure(units: Sequence[RunUnit], columns: Sequence[RunColumn]) -> Widths:
    """What the units need in ``columns``; of several seeds their means and every run."""
    rows = [row for unit in units for row in unit.rows]
    joined = [unit for unit in units if unit.repeated]
    names = [f"{unit.name} ×{len(unit.rows)}" for unit in joined]
    names += [f"{INDENT}{name_seed(unit, row)}" if unit.repeated else row.name for unit in units for row in unit.rows]
    filled = {}
    for column in columns:
        single = _widest(column, rows)
        filled[column.key] = max(single, _widest_joined(column, joined, single))
    return Widths(max(map(_cells, names), default=0), filled)


def _widest(column: RunColumn, rows: Sequence[RunRow]) -> int:
    # Drawing is what takes long, and ten thousand runs have five sizes.
    different = dict(zip(map(attrgetter(*column.reads or (column.key,)), rows), rows, strict=True))
    if column.averaged and len(different) > FEW and None not in different and math.isfinite(sum(different)):
        # Of numbers with as many decimals the greatest and the least are the longest.
        return max(_cells(str(column.draw(different[end(different)]))) for end in (min, max))
    return max((_cells(str(column.draw(row))) for row in different.values()), default=0)


def _widest_joined(column: RunColumn, joined: Sequence[RunUnit], single: int) -> int:
    """What units of several runs need; ``single``: what their runs do."""
    if column.averaged:
        # A mean is no longer than the longest of its values, and units are joined when they come in sight.
        known = (sum(getattr(row, column.averaged) is not None for row in unit.rows) for unit in joined)
        return single + SPREAD_CELLS if any(count > 1 for count in known) else single
    if not column.reads:
        return single  # they have it in common
    values = attrgetter(*column.reads)
    different = {tuple(map(values, unit.rows)): unit for unit in joined}
    return max((_cells(str(unit_text(column, unit))) for unit in different.values()), default=0)


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def join_widths(widths: Sequence[Widths]) -> Widths:
    """The greatest of each."""
    keys = dict.fromkeys(key for one in widths for key in one.columns)
    columns = {key: max(one.columns.get(key, 0) for one in widths) for key in keys}
    return Widths(max((one.name for one in widths), default=0), columns)


def fit_columns(
    width: int, needed: Widths, columns: Sequence[RunColumn] = RUN_COLUMNS
) -> tuple[int, tuple[RunColumn, ...]]:
    """The width of the name column and those of ``columns`` that fit ``width`` cells beside the mark.

    Columns are as wide as what is in them; those with nothing in them are left out.
    """
    wanted_name = max(SHORTEST_NAME, min(LONGEST_NAME, needed.name))
    least_names = {1: SHORTEST_NAME, 2: SHORTEST_NAME}
    kept: dict[str, RunColumn] = {}
    room = width - 2
    for column in sorted(columns, key=lambda column: column.keep):
        filled = needed.columns.get(column.key, 0)
        if not filled and column.key != "state":
            continue
        least = COUNT_CELLS if column.key == "state" else max(LEAST_NUMBER, len(column.title))
        cells = min(column.width + (SPREAD_CELLS if column.averaged else 0), max(filled, least))
        name = wanted_name if column.keep > ESSENTIAL else min(wanted_name, least_names.get(column.keep, READABLE_NAME))
        if column.keep and room - (cells + 1) < name + 1:
            continue
        kept[column.key] = replace(column, width=cells)
        room -= cells + 1
    name_width = max(SHORTEST_NAME, min(wanted_name, room - 1))
    return name_width, tuple(kept[column.key] for column in columns if column.key in kept)


def table_columns(name_width: int, columns: Sequence[RunColumn]) -> list[TableColumn]:
    """Mark, state, name and the rest, as the table wants them."""
    shown = [TableColumn(c.key, c.title.rjust(c.width) if c.right else c.title, c.width) for c in columns]
    return [TableColumn("mark", "", 1), shown[0], TableColumn("name", "name", name_width), *shown[1:]]


def run_cells(row: RunRow, columns: Sequence[RunColumn], *, marked: bool, unit: RunUnit | None = None) -> Cells:
    """A run as a row of cells; ``unit``: the seeds that it is one of."""
    first, *rest = (_cell(column.draw(row), column) for column in columns)
    name = INDENT + name_seed(unit, row) if unit is not None and unit.repeated else row.name
    return (_mark(marked), first, name, *rest)


def unit_cells(unit: RunUnit, columns: Sequence[RunColumn], *, marked: bool, folded: bool) -> Cells:
    """Several seeds as a row of cells: how many, and the means over them."""
    first, *rest = (_cell(unit_text(column, unit), column) for column in columns)
    sign = _mark(marked) if marked else Text("▸" if folded else "▾", "dim")
    return (sign, first, Text(unit.name).append(f" ×{len(unit.rows)}", "dim"), *rest)


def heading_cells(group: RunGroup, columns: Sequence[RunColumn], *, folded: bool) -> Cells:
    """The heading of a group: how many runs it has, and of those that are not done in which state they are."""
    counts = "1 run" if len(group.rows) == 1 else f"{len(group.rows)} runs"
    title = Text(group.name, "bold")
    if unfinished := count_states(group.rows, done=False):
        title.append(f"  {unfinished}", "not bold")
    return (Text("▸" if folded else "▾"), Text(counts, "bold"), title, *[""] * (len(columns) - 1))


def unit_text(column: RunColumn, unit: RunUnit) -> Text | str:
    """What a column says of a unit: of several seeds the mean ± its standard deviation, and the states by number."""
    if not unit.repeated:
        return column.draw(unit.row)
    if column.key == "state" and (unit.row.state == MIXED or unit.row.state not in MOVING):
        return Text(count_states(unit.rows), "" if unit.row.state == "done" else "bold")
    if column.key == "progress":
        moving = any(row.state in MOVING for row in unit.rows)
        return bar(unit.row.share or 0.0, BAR_CELLS) if moving else ""
    drawn = str(column.draw(unit.row))
    spread = unit.spread.get(column.averaged)
    return drawn + spread_text(spread) if drawn and spread is not None else drawn


def _mark(marked: bool) -> Text:
    return Text("●" if marked else " ", "bold")


def _cell(drawn: Text | str, column: RunColumn) -> Text | str:
    if column.right and isinstance(drawn, str):
        return " " * max(0, column.width - cell_len(drawn)) + drawn
    return drawn
