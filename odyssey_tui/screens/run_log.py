"""The console of a run: follows what is written, searches what was."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.filtered import FilteredScreen
from odyssey_tui.services.format import size
from odyssey_tui.services.logs import find_lines
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.long_table import Cells, LongTable
from odyssey_tui.widgets.table_cells import TableColumn

if TYPE_CHECKING:
    from odyssey_tui.services.logs import LogReader, LogText

LOOK_S = 0.5
"""Seconds between looks at the console while it is in front."""
WIDEST = 2_000
"""Cells of a line that can be scrolled to."""


class Snapshot(NamedTuple):
    """The lines, and which of them hold what is searched."""

    text: LogText
    sought: str
    found: tuple[int, ...]


class LogScreen(FilteredScreen):
    """Lines of one attempt. On the last line it follows; anywhere else what is in sight stays."""

    SCOPE = "log"
    TABLE = LongTable
    AUTO_FOCUS = "#lines"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "log")]

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__()
        self._run_id, self._name_shown = run_id, name
        self._reader: LogReader | None = None
        self._attempt: int | None = None
        self._snapshot: Snapshot | None = None
        self._looks: Timer | None = None

    def compose_body(self) -> ComposeResult:
        yield FilterLine("text to find; n and N go to the next and the previous line that has it", lambda text: None)
        yield LongTable(id="lines")

    def on_mount(self) -> None:
        self._looks = self.set_interval(LOOK_S, self.reload)

    def on_screen_resume(self) -> None:
        if self._looks is not None:
            self._looks.resume()

    def on_screen_suspend(self) -> None:
        if self._looks is not None:
            self._looks.pause()

    def request(self) -> tuple[str, int | None]:
        return self._filter, self._attempt

    def load(self, request: tuple[str, int | None]) -> Snapshot:
        from odyssey_tui.services.logs import LogReader

        sought, attempt = request
        self._reader = self._reader or LogReader(self.odyssey.workspace, self._run_id)
        text = self._reader.read(attempt)
        return Snapshot(text, sought, tuple(find_lines(text.lines, sought)))

    def show(self, snapshot: Snapshot) -> None:
        before, self._snapshot = self._snapshot, snapshot
        table, text = self.query_one(LongTable), snapshot.text
        follows = before is None or before.text.attempt != text.attempt or self.follows
        width = min(WIDEST, max([self.size.width - 1, *(len(line) for line in text.lines)]))
        keys = [str(number) for number in range(len(text.lines))]
        table.show([TableColumn("line", self._head(snapshot), width)], keys, self._line)
        if follows:
            table.move_cursor(len(keys) - 1)
        if snapshot.sought and (before is None or before.sought != snapshot.sought) and snapshot.found:
            self._go(snapshot.found[-1])
        self._draw_head()

    @property
    def follows(self) -> bool:
        """Whether the cursor is on the last line: then it goes with what is written."""
        table = self.query_one(LongTable)
        return table.cursor_row >= len(table.keys) - 1

    def _head(self, snapshot: Snapshot) -> str:
        text = snapshot.text
        if not text.attempt:
            return f"{self._name_shown}: it has not started yet"
        parts = [self._name_shown]
        if text.attempts > 1:
            parts.append(f"attempt {text.attempt} of {text.attempts}")
        parts.append(f"{len(text.lines):,} lines")
        if text.left_out:
            parts.append(f"{size(text.left_out)} before them")
        if snapshot.sought:
            parts.append(f"{len(snapshot.found):,} with {snapshot.sought!r}")
        parts.append("following" if self.follows else "G follows")
        return " · ".join(parts)

    def _draw_head(self) -> None:
        if self._snapshot is not None:
            self.query_one(LongTable).retitle(self._head(self._snapshot))

    @on(LongTable.Moved)
    def moved(self) -> None:
        """Whether it follows stands in the head."""
        self._draw_head()

    def _line(self, index: int) -> Cells:
        snapshot = self._snapshot
        if snapshot is None or index >= len(snapshot.text.lines):
            return ("",)
        line = Text(snapshot.text.lines[index], no_wrap=True)
        if snapshot.sought:
            line.highlight_words([snapshot.sought], "reverse", case_sensitive=False)
        return (line,)

    def _go(self, index: int) -> None:
        self.query_one(LongTable).move_cursor(index)

    def action_next(self) -> None:
        """The next line that holds what is searched; after the last the first."""
        self._step(1)

    def action_previous(self) -> None:
        """The one before."""
        self._step(-1)

    def _step(self, step: int) -> None:
        found = self._snapshot.found if self._snapshot is not None else ()
        if not found:
            self.notify("no line has it" if self._filter else "/ searches", timeout=2)
            return
        here = self.query_one(LongTable).cursor_row
        place = bisect.bisect_right(found, here) if step > 0 else bisect.bisect_left(found, here) - 1
        self._go(found[place % len(found)])

    def action_attempt(self) -> None:
        """The attempt before; after the first the newest."""
        text = self._snapshot.text if self._snapshot is not None else None
        if text is not None and text.attempts > 1:
            self._attempt = text.attempt - 1 if text.attempt > 1 else text.attempts
            self.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "attempt":
            return self._snapshot is not None and self._snapshot.text.attempts > 1
        return True

    def action_leave(self) -> None:
        """Escape: the search goes, then the console."""
        if self.filtering:
            super().action_leave()
        else:
            self.app.pop_screen()
