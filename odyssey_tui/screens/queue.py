"""Screen 4: the machine, and the queue in the order in which runs will start."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.copying import Copied, copied_runs
from odyssey_tui.screens.exporting import ask_export
from odyssey_tui.screens.filtered import FilteredScreen
from odyssey_tui.screens.requests import (
    FINISHED,
    RETRIABLE,
    Asked,
    ask_cancel,
    hold_or_release,
    move_runs,
    pause_or_resume,
    pause_sweeps,
    retry_runs,
)
from odyssey_tui.services.board import FIELDS, Board, BoardReader, record
from odyssey_tui.services.filter import Filter, parse_filter
from odyssey_tui.services.queue_view import COMMAND
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.long_table import Cells, LongTable
from odyssey_tui.widgets.machine_strip import MachineStrip
from odyssey_tui.widgets.queue_columns import QueueLayout, lay_out

if TYPE_CHECKING:
    from odyssey_tui.services.queue import QueueEntry

LOOK_S = 2.5
"""Seconds between looks at the machine while this screen is in front."""
HASTY_LOOK_S, HASTY_LOOKS = 0.25, 12
"""After a request: the scheduler takes it up within a second or starts first."""
NEEDS_RUNS = frozenset(
    {"open", "export", "mark", "mark_sweep", "unmark", "filter", "hold", "pause_sweep", "move", "cancel", "retry"}
)
EMPTY = """\
[b]Nothing runs or waits.[/b]

  [b]n[/b]  a new sweep, from the newest experiment
  [b]3[/b]  launch an experiment of your own
  [b]1[/b]  what has run; in an empty workspace [b]d[/b] there starts the demo"""


class Snapshot(NamedTuple):
    """The board, and the entries that pass the filter with their places in the line (None: it runs, or is held)."""

    board: Board
    entries: tuple[QueueEntry, ...]
    places: tuple[int | None, ...]


def parse(text: str) -> Filter:
    """A filter over the queue. Raises FilterError."""
    return parse_filter(text, FIELDS)


def is_blocked(entry: QueueEntry) -> bool:
    """Whether a run is held by what went wrong before it, rather than by a person."""
    return entry.state == "held" and not entry.held_on_request


class QueueScreen(FilteredScreen):
    """Slots, GPUs and the line of runs; pausing, holding, moving, cancelling, retrying."""

    SCOPE = "queue"
    TABLE = LongTable
    AUTO_FOCUS = "#queue"
    CSS_PATH = "queue.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "queue")]

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None
        self._marked: set[str] = set()
        """Runs marked here; marks on Runs are for comparing, mostly of runs that are finished."""
        self._reader: BoardReader | None = None
        self._looks: Timer | None = None
        self._haste: Timer | None = None

    def compose_body(self) -> ComposeResult:
        yield MachineStrip()
        yield FilterLine("state=held and experiment=demo · ~text", parse, lambda: FIELDS, self._values_of)
        yield Static(EMPTY, id="welcome")
        yield Static("No run in the queue passes the filter; Esc clears it.", id="nothing", classes="hint")
        yield LongTable(id="queue")

    def _values_of(self, key: str) -> list[object]:
        listed = self._snapshot.board.listed if self._snapshot is not None else ()
        return [record(entry).get(key) for entry in listed]

    def on_mount(self) -> None:
        self._looks = self.set_interval(LOOK_S, self.reload)

    def on_screen_resume(self) -> None:
        if self._looks is not None:
            self._looks.resume()

    def on_screen_suspend(self) -> None:
        if self._looks is not None:
            self._looks.pause()

    def on_resize(self) -> None:
        self._redraw()

    def request(self) -> str:
        return self._filter

    def load(self, request: str) -> Snapshot:
        self._reader = self._reader or BoardReader(self.odyssey.workspace, self.odyssey.states)
        board = self._reader.read()
        entries = board.listed
        place, places = 0, []
        for entry in entries:
            place += entry.state == "queued"
            places.append(place if entry.state == "queued" else None)
        chosen = parse(request)
        kept = [pair for pair in zip(entries, places, strict=True) if chosen.accepts(record(pair[0]))]
        return Snapshot(board, tuple(entry for entry, _ in kept), tuple(place for _, place in kept))

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._marked &= {entry.run_id for entry in snapshot.board.listed}
        self._redraw()

    def expect_change(self) -> None:
        """Look again and again for some seconds: the order in which a key was pressed should be seen at once."""
        if self._haste is not None:
            self._haste.stop()
        self._haste = self.set_interval(HASTY_LOOK_S, self.reload, repeat=HASTY_LOOKS)
        self.reload()

    def _redraw(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        board, entries = snapshot.board, snapshot.entries
        self.set_class(not board.listed, "-empty")
        self.query_one(MachineStrip).show(board, self.size.width - 2, max(0, (self.size.height - 3) // 3))
        waiting = sum(place is not None for place in snapshot.places)
        layout = lay_out(self.size.width - 1, entries, waiting)
        keys = [entry.run_id for entry in entries]
        table = self.query_one(LongTable)
        table.show(layout.headings(), keys, lambda index: self._cells(snapshot, layout, index))
        self.query_one("#nothing", Static).display = bool(board.listed) and not entries
        if self.focused is None and entries:
            table.focus()
        self.refresh_bindings()

    def _cells(self, snapshot: Snapshot, layout: QueueLayout, index: int) -> Cells:
        entry = snapshot.entries[index]
        repeated = index > 0 and snapshot.entries[index - 1].experiment == entry.experiment
        marked = entry.run_id in self._marked
        return layout.cells(entry, snapshot.places[index], marked=marked, repeated=repeated)

    def _current(self) -> QueueEntry | None:
        """The run under the cursor."""
        key = self.query_one(LongTable).current
        entries = self._snapshot.entries if self._snapshot is not None else ()
        return next((entry for entry in entries if entry.run_id == key), None)

    def _chosen(self) -> list[QueueEntry]:
        """The marked runs in sight of the filter, else the one under the cursor."""
        entries = self._snapshot.entries if self._snapshot is not None else ()
        marked = [entry for entry in entries if entry.run_id in self._marked]
        current = self._current()
        return marked or ([current] if current is not None else [])

    def copied(self) -> Copied | None:
        """Ids: of the marked runs, else of the run under the cursor."""
        return copied_runs([entry.run_id for entry in self._chosen()])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in NEEDS_RUNS:
            return self._snapshot is None or bool(self._snapshot.board.listed)
        if action == "leave":
            return self.filtering
        return True

    @on(LongTable.Selected)
    def open_clicked(self) -> None:
        """A click on the row under the cursor opens it, as Enter does."""
        self.action_open()

    def action_open(self) -> None:
        """The run under the cursor."""
        if (entry := self._current()) is not None:
            from odyssey_tui.screens.run import RunScreen

            self.app.push_screen(RunScreen(entry.run_id))

    def action_mark(self) -> None:
        """Mark or unmark and go to the next row."""
        if (entry := self._current()) is not None:
            self._marked ^= {entry.run_id}
            self._redraw()
            self.query_one(LongTable).action_cursor_down()

    def action_mark_sweep(self) -> None:
        """Mark every run of the experiment under the cursor; unmark them when all are."""
        current, snapshot = self._current(), self._snapshot
        if current is None or snapshot is None:
            return
        sweep = {entry.run_id for entry in snapshot.entries if entry.experiment == current.experiment}
        self._marked = self._marked - sweep if sweep <= self._marked else self._marked | sweep
        self._redraw()

    def action_unmark(self) -> None:
        """Forget every mark."""
        self._marked.clear()
        self._redraw()

    def action_pause(self) -> None:
        """Pause the queue; let it go on when it is paused or nobody works on it."""
        if self._snapshot is not None:
            board = self._snapshot.board
            pause_or_resume(self, resume=bool(board.paused) or not board.works)

    def action_pause_sweep(self) -> None:
        """Pause the experiments of the chosen runs; let them go on when all are paused."""
        names = sorted({entry.experiment for entry in self._chosen()} - {""})
        paused = self._snapshot.board.queue.paused_experiments if self._snapshot is not None else {}
        if names:
            pause_sweeps(self, names, resume=set(names) <= set(paused))

    def action_hold(self) -> None:
        """Hold runs; let go of those that a person holds."""
        chosen = [
            entry for entry in self._chosen() if entry.state not in FINISHED and not entry.slot.startswith(COMMAND)
        ]
        if not chosen:
            self.notify("only what the queue runs or will run can be held", severity="warning")
            return
        hold_or_release(self, [Asked(run.run_id, run.name, run.state, run.held_on_request) for run in chosen])

    def action_move(self, where: str) -> None:
        """Move runs that wait to another place in the line."""
        waiting = [entry.run_id for entry in self._chosen() if entry.state in ("queued", "held")]
        if not waiting:
            self.notify("what runs has no place in the line: choose a run that waits", severity="warning")
            return
        move_runs(self, waiting, where)

    def action_cancel(self) -> None:
        """Cancel runs; a live one asks for the word."""
        chosen = [entry for entry in self._chosen() if entry.state not in FINISHED]
        if not chosen:
            self.notify("this run has ended: nothing to cancel", severity="warning")
            return
        ask_cancel(self, [(entry.run_id, entry.name, entry.state) for entry in chosen])

    def action_retry(self) -> None:
        """Queue again what failed or got lost; of a held run, what holds it."""
        chosen = [entry.run_id for entry in self._chosen() if entry.state in RETRIABLE or is_blocked(entry)]
        if not chosen:
            self.notify("no run to retry here: choose a failed or lost one, or one that those hold", severity="warning")
            return
        retry_runs(self, chosen)

    def action_export(self) -> None:
        """What passes the filter as a file."""
        from odyssey_tui.services.board import COLUMNS, board_record
        from odyssey_tui.services.figure_export import Exportable

        if self._snapshot is not None:
            rows = [asdict(entry) for entry in self._snapshot.entries]
            record = board_record(self._snapshot.board, self._snapshot.entries)
            ask_export(self, Exportable("queue", None, COLUMNS, rows, record))

    async def action_new(self) -> None:
        """A new sweep from the experiment under the cursor."""
        entry = self._current()
        await self.odyssey.go("launch", entry.experiment if entry is not None else None)
