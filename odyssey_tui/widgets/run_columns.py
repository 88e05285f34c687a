"""The columns of the runs table and which of them fit a width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import bar, duration, number, signed, state_text
from odyssey_tui.widgets.keyed_table import TableColumn, TableRow

if TYPE_CHECKING:
    from odyssey_tui.services.runs import RunRow

SHORTEST_NAME, LONGEST_NAME = 14, 44
BAR_CELLS = 5
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
    """``keep``: the order in which columns survive a narrow screen, 0 first; ``right``: numbers."""

    key: str
    title: str
    width: int
    keep: int
    draw: Callable[[RunRow], Text | str]
    right: bool = False


def progress(row: RunRow) -> str:
    """A bar and the time left for what runs; nothing for the rest."""
    if row.share is None or row.state not in ("running", "starting", "stopping"):
        return ""
    eta = duration(row.eta_s) if row.eta_s is not None else f"{row.share:.0%}"
    return f"{bar(row.share, BAR_CELLS)} {eta}"


def short(value: float | None) -> str:
    """An axis value: ``0.25``, ``15``, nothing where the run has none."""
    return "" if value is None else f"{value:g}"


def change(delta: float | None) -> str:
    """ΔL with its sign, nothing where it was not measured."""
    return "" if delta is None else signed(delta)


RUN_COLUMNS: tuple[RunColumn, ...] = (
    RunColumn("state", "state", 11, 1, lambda row: Text(state_text(row.state), STATE_STYLES.get(row.state, ""))),
    RunColumn("domain", "domain", 10, 9, lambda row: row.domain or ""),
    RunColumn("replay", "ρ", 5, 5, lambda row: short(row.replay), right=True),
    RunColumn("ptpp", "P", 5, 6, lambda row: short(row.ptpp), right=True),
    RunColumn("atpp", "A", 5, 8, lambda row: short(row.atpp), right=True),
    RunColumn("size", "size", 6, 10, lambda row: row.size or ""),
    RunColumn("method", "method", 6, 11, lambda row: row.method or ""),
    RunColumn("progress", "progress", 12, 4, progress),
    RunColumn("loss", "loss", 6, 7, lambda row: "" if row.loss is None else number(row.loss), right=True),
    RunColumn("delta_target", "ΔL tgt", 7, 2, lambda row: change(row.delta_target), right=True),
    RunColumn("delta_base", "ΔL base", 7, 3, lambda row: change(row.delta_base), right=True),
)


def fit_columns(width: int, names: Sequence[str]) -> tuple[int, tuple[RunColumn, ...]]:
    """The width of the name column and the other columns that fit ``width`` cells beside the mark."""
    longest = min(LONGEST_NAME, max((len(name) for name in names), default=SHORTEST_NAME))
    wanted_name = max(SHORTEST_NAME, longest)
    kept: list[RunColumn] = []
    room = width - 2 - (wanted_name + 1)
    for column in sorted(RUN_COLUMNS, key=lambda column: column.keep):
        if room < column.width + 1 and column.keep > 3:
            break
        kept.append(column)
        room -= column.width + 1
    name_width = max(SHORTEST_NAME, wanted_name + min(room, 0))
    return name_width, tuple(column for column in RUN_COLUMNS if column in kept)


def table_columns(name_width: int, columns: Sequence[RunColumn]) -> list[TableColumn]:
    """Mark, state, name and the rest, as the table wants them."""
    shown = [TableColumn(c.key, c.title.rjust(c.width) if c.right else c.title, c.width) for c in columns]
    return [TableColumn("mark", "", 1), shown[0], TableColumn("name", "name", name_width), *shown[1:]]


def table_row(row: RunRow, columns: Sequence[RunColumn], name_width: int, *, marked: bool) -> TableRow:
    """A run as a row of cells."""
    cells = [_cell(column, row) for column in columns]
    name = row.name
    shown_name = Text(name if len(name) <= name_width else name[: name_width - 1] + "…")
    return TableRow(row.run_id, (Text("●" if marked else " ", "bold"), cells[0], shown_name, *cells[1:]))


def _cell(column: RunColumn, row: RunRow) -> Text | str:
    drawn = column.draw(row)
    if isinstance(drawn, str):
        text = drawn if len(drawn) <= column.width else drawn[: column.width - 1] + "…"
        return Text(text.rjust(column.width) if column.right else text)
    return drawn
