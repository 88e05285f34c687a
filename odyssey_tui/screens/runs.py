"""Screen 1: what ran, what runs and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.annotate import ask_note, ask_tags, pin_runs
from odyssey_tui.screens.base import following
from odyssey_tui.screens.copying import Copied, copied_runs
from odyssey_tui.screens.deletion import ask_delete
from odyssey_tui.screens.filtered import FilteredScreen
from odyssey_tui.screens.requests import FINISHED, RETRIABLE, as_asked, ask_cancel, hold_or_release, retry_runs
from odyssey_tui.services.runs import TRAINED, compare_losses, parse
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.keyed_table import KeyedTable, TableRow
from odyssey_tui.widgets.preview import Preview
from odyssey_tui.widgets.run_columns import (
    BYTE_COLUMNS,
    RUN_COLUMNS,
    fit_columns,
    heading_row,
    table_columns,
    table_row,
)

if TYPE_CHECKING:
    from odyssey_tui.services.curves import Curve
    from odyssey_tui.services.runs import RunGroup, RunRow

PREVIEW_WIDTH, PREVIEW_HEIGHT, MOST_PREVIEWED = 110, 30, 8
GROUP_PREFIX = "group:"
SORTS = ("plan", "state", "loss", "target", "base")
GROUPS = ("experiment", "kind", "domain", "replay", "ptpp", "size", "none")
NEEDS_RUNS = frozenset(
    {
        "open",
        "mark",
        "unmark",
        "sort",
        "group",
        "filter",
        "cancel",
        "retry",
        "new",
        "hold",
        "tag",
        "note",
        "pin",
        "delete",
    }
)
WELCOME = """\
[b]Welcome to odyssey[/b]

Nothing has run in this workspace yet.

  [b]d[/b]  the demo: a miniature odyssey, all real, in some minutes
  [b]3[/b]  launch an experiment of your own
  [b]?[/b]  the keys that act here
  [b]q[/b]  leave; whatever runs goes on"""


class Request(NamedTuple):
    """What the screen wants to see."""

    filter: str
    sort: str
    group: str
    preview: tuple[str, ...]
    """Runs whose training curves are drawn below the table; none where there is no room."""
    note: str
    """What the preview leaves out."""


class Snapshot(NamedTuple):
    """Runs as listed: in groups, how many there are, how many pass the filter."""

    groups: tuple[RunGroup, ...]
    total: int
    shown: int
    curves: tuple[Curve, ...]
    note: str


class RunsScreen(FilteredScreen):
    """Runs by group; marks, filter, sort; cancelling and retrying."""

    SCOPE = "runs"
    TABLE = KeyedTable
    AUTO_FOCUS = "#runs"
    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "runs")]

    def __init__(self) -> None:
        super().__init__()
        self._sort = SORTS[0]
        self._group = GROUPS[0]
        self._folds: dict[tuple[bool, str], bool] = {}
        """Which groups are folded, with a filter and without; set when a group is first seen, then by the user."""
        self._snapshot: Snapshot | None = None
        self._asked_preview: tuple[str, ...] = ()
        self._sought = ""
        """A run to put the cursor on as soon as it is listed."""

    def compose_body(self) -> ComposeResult:
        yield FilterLine("domain=tests and replay>=0.1 · tag:x · ~text", parse)
        yield Static(WELCOME, id="welcome")
        yield Static("No run passes the filter; Esc clears it.", id="nothing", classes="hint")
        yield Static("", id="fair", classes="hint", markup=False)
        yield KeyedTable(id="runs")
        yield Preview()

    def on_mount(self) -> None:
        self.query_one(KeyedTable).focus()

    def on_resize(self) -> None:
        self._redraw()

    def arrive(self, context: object) -> None:
        """A run that was just launched."""
        self._sought = str(context)
        self.reload()

    def request(self) -> Request:
        chosen = self._previewed()
        self._asked_preview = chosen[:MOST_PREVIEWED]
        left_out = f"first {MOST_PREVIEWED} of {len(chosen)} runs" if len(chosen) > MOST_PREVIEWED else ""
        return Request(self._filter, self._sort, self._group, self._asked_preview, left_out)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.overlays import read_overlay
        from odyssey_tui.services.runs import arrange, list_runs

        workspace = self.odyssey.workspace
        chosen = parse(request.filter)
        rows = list_runs(workspace)
        shown = [row for row in rows if chosen.accepts(row.record())]
        groups = arrange(shown, sort=request.sort, group=request.group)
        curves, left_out = read_overlay(workspace, request.preview, "loss", "tokens")
        note = ", ".join(part for part in (request.note, left_out) if part)
        return Snapshot(groups, len(rows), len(shown), curves, note)

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._draw(snapshot)

    def _draw(self, snapshot: Snapshot) -> None:
        self.set_class(snapshot.total == 0, "-empty")
        grouped = self._group != "none"
        open_groups = [group for group in snapshot.groups if not (grouped and self._is_folded(group))]
        rows = [row for group in open_groups or snapshot.groups for row in group.rows]
        fair = compare_losses([row for group in snapshot.groups for row in group.rows])
        self.query_one("#fair", Static).update("" if fair.per_token else fair.sentence)
        self.query_one("#fair").display = not fair.per_token
        name_width, columns = fit_columns(self.size.width - 1, rows, RUN_COLUMNS if fair.per_token else BYTE_COLUMNS)
        lines: list[TableRow] = []
        for group in snapshot.groups:
            if grouped:
                lines.append(heading_row(GROUP_PREFIX, group, columns, name_width, folded=self._is_folded(group)))
            if group in open_groups:
                marked = self.odyssey.marked
                lines += [table_row(row, columns, name_width, marked=row.run_id in marked) for row in group.rows]
        table = self.query_one(KeyedTable)
        fresh = not table.row_count
        table.show(table_columns(name_width, columns), lines)
        if fresh and grouped and open_groups:
            table.move_cursor(row=table.get_row_index(GROUP_PREFIX + open_groups[0].name))
        if any(line.key == self._sought for line in lines):
            table.move_cursor(row=table.get_row_index(self._sought))
            self._sought = ""
        self.query_one("#nothing", Static).display = bool(snapshot.total) and not snapshot.shown
        if self.focused is None and snapshot.total:
            table.focus()
        self._draw_preview(snapshot)
        self.refresh_bindings()

    def _draw_preview(self, snapshot: Snapshot) -> None:
        roomy = self.size.width >= PREVIEW_WIDTH and self.size.height >= PREVIEW_HEIGHT
        self.set_class(roomy and bool(snapshot.total), "-roomy")
        if roomy:
            self.query_one(Preview).show(snapshot.curves, snapshot.note)

    def _previewed(self) -> tuple[str, ...]:
        """Runs to draw where there is room: the marked ones, else those of the group, or the one, under the cursor."""
        if not self.has_class("-roomy"):
            return ()
        return tuple(row.run_id for row in self._chosen() if row.kind in TRAINED and row.loss is not None)

    @on(DataTable.RowHighlighted)
    def preview_moved(self) -> None:
        """The curves of what is under the cursor, unless runs are marked."""
        if self._previewed()[:MOST_PREVIEWED] != self._asked_preview:
            self.reload()

    def _is_folded(self, group: RunGroup) -> bool:
        """Supporting runs are folded away once all are done, unless they are all there is or were asked for."""
        settled = group.supporting and all(row.state == "done" for row in group.rows)
        return self._folds.setdefault((bool(self._filter), group.name), settled and not self._filter)

    def _group_under_cursor(self) -> RunGroup | None:
        """The group whose heading is under the cursor."""
        key = self.query_one(KeyedTable).current or ""
        groups = self._snapshot.groups if self._snapshot is not None else ()
        return next((group for group in groups if key == GROUP_PREFIX + group.name), None)

    def _row(self) -> RunRow | None:
        """The run under the cursor."""
        key = self.query_one(KeyedTable).current
        groups = self._snapshot.groups if self._snapshot is not None else ()
        return next((row for group in groups for row in group.rows if row.run_id == key), None)

    def _chosen(self) -> list[RunRow]:
        """The marked runs, else the one under the cursor, or those of the group whose heading is."""
        marked = set(self.odyssey.marked)
        groups = self._snapshot.groups if self._snapshot is not None else ()
        rows = [row for group in groups for row in group.rows if row.run_id in marked]
        group, current = self._group_under_cursor(), self._row()
        return rows or list(group.rows if group is not None else ()) or ([current] if current is not None else [])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        empty = self._snapshot is not None and self._snapshot.total == 0
        if action in ("demo",):
            return empty
        if action in NEEDS_RUNS:
            return not empty
        if action == "leave":
            return self.filtering
        return True

    @on(DataTable.RowSelected)
    def open_clicked(self) -> None:
        """A click on the row under the cursor opens it, as Enter does."""
        self.action_open()

    def action_open(self) -> None:
        """The run under the cursor; a group folds or unfolds."""
        key = self.query_one(KeyedTable).current or ""
        group = self._group_under_cursor()
        if group is not None:
            self._folds[bool(self._filter), group.name] = not self._is_folded(group)
            self._redraw()
        elif key:
            from odyssey_tui.screens.run import RunScreen

            self.app.push_screen(RunScreen(key))

    def action_mark(self) -> None:
        """Mark or unmark and go to the next row."""
        row = self._row()
        table = self.query_one(KeyedTable)
        if row is not None:
            marked = self.odyssey.marked
            marked.remove(row.run_id) if row.run_id in marked else marked.append(row.run_id)
            self._redraw()
        table.action_cursor_down()

    def action_unmark(self) -> None:
        """Forget every mark."""
        self.odyssey.marked.clear()
        self._redraw()

    def _redraw(self) -> None:
        if self._snapshot is not None:
            self._draw(self._snapshot)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = following(SORTS, self._sort)
        self.notify(f"sorted by {self._sort}", timeout=2)
        self.reload()

    def action_group(self) -> None:
        """Group by the next key."""
        self._group = following(GROUPS, self._group)
        self.notify(f"grouped by {self._group}", timeout=2)
        self.reload()

    def action_cancel(self) -> None:
        """Cancel runs; a live one asks for the word."""
        rows = [row for row in self._chosen() if row.state not in FINISHED]
        if not rows:
            self.notify("no run to cancel here: choose one that waits or runs", severity="warning")
            return
        ask_cancel(self, [(row.run_id, row.name, row.state) for row in rows])

    def action_retry(self) -> None:
        """Queue failed, cancelled or lost runs again."""
        rows = [row for row in self._chosen() if row.state in RETRIABLE]
        if not rows:
            self.notify("no run to retry here: choose a failed, cancelled or lost one", severity="warning")
            return
        retry_runs(self, [row.run_id for row in rows])

    def action_hold(self) -> None:
        """Hold runs that wait or run; let go of those that a person holds."""
        rows = [row for row in self._chosen() if row.state not in FINISHED]
        if not rows:
            self.notify("no run to hold here: choose one that waits or runs", severity="warning")
            return
        hold_or_release(self, [as_asked(row) for row in rows])

    def copied(self) -> Copied | None:
        """Ids: of the marked runs, else of the run or group under the cursor."""
        return copied_runs([row.run_id for row in self._chosen()])

    def action_tag(self) -> None:
        """Edit tags."""
        if rows := self._chosen():
            ask_tags(self, rows)

    def action_note(self) -> None:
        """Write a note."""
        if rows := self._chosen():
            ask_note(self, rows)

    def action_pin(self) -> None:
        """Pin, or let go."""
        if rows := self._chosen():
            pin_runs(self, rows)

    def action_delete(self) -> None:
        """Delete runs for good, after a look at what would go."""
        if rows := self._chosen():
            ask_delete(self, [row.run_id for row in rows], self.reload)

    async def action_new(self) -> None:
        """A new sweep from the experiment of the run under the cursor."""
        row = self._row()
        await self.odyssey.go("launch", row.experiment if row is not None else None)

    def action_demo(self) -> None:
        """Start the demo in this empty workspace."""
        from odyssey_tui.services.demo import start_demo

        self.perform(lambda: start_demo(self.odyssey.workspace), self._demo_started)

    def _demo_started(self, submitted: object) -> None:
        self.notify("the demo is queued; the line at the bottom follows it")
        self.reload()
