"""The columns of the queue's table and which of them fit a width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import STATE_GLYPHS, bar, duration, state_text
from odyssey_tui.widgets.run_columns import BAR_CELLS, MOVING, STATE_STYLES
from odyssey_tui.widgets.table_cells import TableColumn

if TYPE_CHECKING:
    from odyssey_tui.services.queue import QueueEntry

SHORTEST_NAME, LONGEST_NAME = 12, 44
SHORTEST_REASON, ROOMY_REASON = 14, 40


@dataclass(frozen=True)
class QueueColumn:
    """``most`` cells at most; ``right``: numbers."""

    key: str
    title: str
    most: int
    draw: Callable[[QueueEntry], str]
    right: bool = False


def short_state(entry: QueueEntry) -> str:
    """The state; of what runs, how much is done and the time left."""
    if entry.share is None or entry.state not in MOVING:
        return state_text(entry.state)
    left = f" {duration(entry.eta_s)}" if entry.eta_s is not None else ""
    return f"{STATE_GLYPHS[entry.state]} {entry.share:.0%}{left}"


def progress(entry: QueueEntry) -> str:
    """A bar for what has begun."""
    return bar(entry.share, BAR_CELLS) if entry.share else ""


STATE = QueueColumn("state", "state", 12, short_state)
NAME = QueueColumn("name", "run", LONGEST_NAME, lambda entry: entry.name)
REASON = QueueColumn("reason", "why", 200, lambda entry: entry.reason)
OPTIONAL: tuple[QueueColumn, ...] = (
    QueueColumn("slot", "on", 12, lambda entry: entry.slot),
    QueueColumn("experiment", "sweep", 20, lambda entry: entry.experiment),
    QueueColumn("attempt", "try", 3, lambda entry: str(entry.attempt) if entry.attempt > 1 else "", right=True),
    QueueColumn("level", "pri", 4, lambda entry: {1.0: "high", -1.0: "low"}.get(entry.level, "")),
    QueueColumn("progress", "progress", BAR_CELLS, progress),
)
"""In the order in which a narrow screen keeps them; one with nothing in it is left out."""
ORDER = ("state", "name", "experiment", "level", "progress", "attempt", "slot", "reason")


@dataclass(frozen=True)
class QueueLayout:
    """The columns that fit and their widths."""

    place_width: int
    columns: tuple[tuple[QueueColumn, int], ...]

    def headings(self) -> list[TableColumn]:
        """As the table wants them: mark, place in the line, then the rest."""
        first = [TableColumn("mark", "", 1), TableColumn("place", "#".rjust(self.place_width), self.place_width)]
        return first + [
            TableColumn(column.key, column.title.rjust(width) if column.right else column.title, width)
            for column, width in self.columns
        ]

    def cells(self, entry: QueueEntry, place: int | None, *, marked: bool, repeated: bool) -> list[Text | str]:
        """One row; ``repeated``: the row above is of the same sweep."""
        row: list[Text | str] = [
            Text("●" if marked else " ", "bold"),
            Text(("" if place is None else str(place)).rjust(self.place_width), "dim"),
        ]
        for column, width in self.columns:
            text = column.draw(entry)
            style = STATE_STYLES.get(entry.state, "") if column.key == "state" else ""
            style = "dim" if column.key == "experiment" and repeated else style
            row.append(Text(text.rjust(width) if column.right else text, style))
        return row


def lay_out(width: int, entries: Sequence[QueueEntry], waiting: int) -> QueueLayout:
    """The columns for ``width`` cells: state, run and why first, then whatever says something and fits."""
    place_width = max(1, len(str(waiting)))
    room = width - 2 - (place_width + 1)
    state = _filled(STATE, entries)
    name, reason = _filled(NAME, entries), _filled(REASON, entries)
    least_reason = min(reason, SHORTEST_REASON) if reason else 0
    room -= state + 1 + (least_reason + 1 if reason else 0)
    name_width = max(SHORTEST_NAME, min(name, room - 1))
    room -= name_width + 1
    chosen = {"state": (STATE, state), "name": (NAME, name_width)}
    if reason:
        # Words are worth more than a bar: they get their room before the columns that repeat what others say.
        wanted = min(reason, ROOMY_REASON) - least_reason
        given = max(0, min(room, wanted))
        room -= given
        least_reason += given
    several = len({entry.experiment for entry in entries}) > 1
    for column in OPTIONAL:
        cells = _filled(column, entries)
        if not cells or (column.key == "experiment" and not several) or room < cells + 1:
            continue
        chosen[column.key] = (column, cells)
        room -= cells + 1
    if reason:
        chosen["reason"] = (REASON, least_reason + max(0, room))
    return QueueLayout(place_width, tuple(chosen[key] for key in ORDER if key in chosen))


def _filled(column: QueueColumn, entries: Sequence[QueueEntry]) -> int:
    """Cells of the widest value, at least of the title; 0 when there is nothing in the column."""
    longest = max((len(column.draw(entry)) for entry in entries), default=0)
    return min(column.most, max(longest, len(column.title))) if longest else 0
