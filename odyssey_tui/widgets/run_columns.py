"""The columns of the runs table and which of them fit a width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import STATE_GLYPHS, bar, cut, duration, number, signed, state_text
from odyssey_tui.widgets.keyed_table import TableColumn, TableRow

if TYPE_CHECKING:
    from odyssey_tui.services.runs import RunGroup, RunRow

SHORTEST_NAME, READABLE_NAME, LONGEST_NAME = 12, 20, 44
COUNT_CELLS = 8
"""What the number of runs of a group takes, which stands under the states."""
LEAST_NUMBER = 3
BAR_CELLS = 10
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
    RunColumn("state", "state", 11, 0, state),
    RunColumn("domain", "domain", 10, 9, lambda row: row.domain or ""),
    RunColumn("replay", "ρ", 5, 3, lambda row: short(row.replay), right=True),
    RunColumn("ptpp", "P", 5, 4, lambda row: short(row.ptpp), right=True),
    RunColumn("atpp", "A", 5, 5, lambda row: short(row.atpp), right=True),
    RunColumn("size", "size", 6, 6, lambda row: row.size or ""),
    RunColumn("method", "method", 6, 10, lambda row: row.method or ""),
    RunColumn("progress", "progress", BAR_CELLS, 8, progress),
    RunColumn("tags", "tags", 16, 11, tags),
    RunColumn("loss", "loss", 6, 7, lambda row: "" if row.loss is None else number(row.loss), right=True),
    RunColumn("delta_target", "ΔL tgt", 7, 1, lambda row: change(row.delta_target), right=True),
    RunColumn("delta_base", "ΔL base", 7, 2, lambda row: change(row.delta_base), right=True),
)
BYTE_COLUMNS: tuple[RunColumn, ...] = (
    *RUN_COLUMNS[:-3],
    RunColumn("bits", "bits/B", 6, 7, lambda row: "" if row.bits is None else number(row.bits), right=True),
    RunColumn("delta_bits", "Δb tgt", 7, 1, lambda row: change(row.delta_bits), right=True),
    RunColumn("delta_base_bits", "Δb base", 7, 2, lambda row: change(row.delta_base_bits), right=True),
)
"""Where tokenizers differ: losses in bits per byte."""
ESSENTIAL = 6
"""Columns kept at the price of a longer name, down to READABLE_NAME cells; for ΔL down to SHORTEST_NAME."""


def fit_columns(
    width: int, rows: Sequence[RunRow], columns: Sequence[RunColumn] = RUN_COLUMNS
) -> tuple[int, tuple[RunColumn, ...]]:
    """The width of the name column and those of ``columns`` that fit ``width`` cells beside the mark.

    Columns are as wide as what is in them; those with nothing in them are left out.
    """
    longest = min(LONGEST_NAME, max((len(row.name) for row in rows), default=SHORTEST_NAME))
    wanted_name = max(SHORTEST_NAME, longest)
    least_names = {1: SHORTEST_NAME, 2: SHORTEST_NAME}
    kept: dict[str, RunColumn] = {}
    room = width - 2
    for column in sorted(columns, key=lambda column: column.keep):
        filled = max((len(str(column.draw(row))) for row in rows), default=0)
        if not filled and column.key != "state":
            continue
        least = COUNT_CELLS if column.key == "state" else max(LEAST_NUMBER, len(column.title))
        cells = min(column.width, max(filled, least))
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


def table_row(row: RunRow, columns: Sequence[RunColumn], name_width: int, *, marked: bool) -> TableRow:
    """A run as a row of cells."""
    cells = [_cell(column, row) for column in columns]
    name = Text(cut(row.name, name_width))
    return TableRow(row.run_id, (Text("●" if marked else " ", "bold"), cells[0], name, *cells[1:]))


def heading_row(
    prefix: str, group: RunGroup, columns: Sequence[RunColumn], name_width: int, *, folded: bool
) -> TableRow:
    """The heading of a group, under ``prefix`` and its name: how many runs it has."""
    counts = "1 run" if len(group.rows) == 1 else f"{len(group.rows)} runs"
    title = Text(group.name, "bold", overflow="ellipsis")
    title.truncate(name_width, overflow="ellipsis")
    fold = Text("▸" if folded else "▾")
    return TableRow(prefix + group.name, (fold, Text(counts, "bold"), title, *[""] * (len(columns) - 1)))


def _cell(column: RunColumn, row: RunRow) -> Text | str:
    drawn = column.draw(row)
    if isinstance(drawn, str):
        text = cut(drawn, column.width)
        return Text(text.rjust(column.width) if column.right else text)
    return drawn
