"""Screen 1: what ran, what runs and what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import following
from odyssey_tui.screens.copying import Copied, copied_runs
from odyssey_tui.screens.exporting import ask_export
from odyssey_tui.screens.filtered import FilteredScreen
from odyssey_tui.screens.run_actions import RunActions
from odyssey_tui.screens.run_folds import Folds, group_key
from odyssey_tui.screens.run_preview import RunPreview
from odyssey_tui.services.run_groups import UNGROUPED
from odyssey_tui.services.runs import FIELDS, TRAINED, compare_losses, parse
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.long_table import Cells, LongTable
from odyssey_tui.widgets.preview import Preview
from odyssey_tui.widgets.run_columns import (
    BYTE_COLUMNS,
    RUN_COLUMNS,
    RunColumn,
    Widths,
    fit_columns,
    heading_cells,
    join_widths,
    measure,
    run_cells,
    table_columns,
    unit_cells,
)

if TYPE_CHECKING:
    from odyssey_tui.services.filter import Filter
    from odyssey_tui.services.overlays import Subject
    from odyssey_tui.services.run_groups import RunGroup
    from odyssey_tui.services.run_list import Listing, RunLister
    from odyssey_tui.services.run_tree import TreeLine
    from odyssey_tui.services.runs import RunRow
    from odyssey_tui.services.tokenizer_fair import Fairness

PREVIEW_WIDTH, PREVIEW_HEIGHT = 110, 30
SORTS = ("plan", "state", "loss", "target", "base")
GROUPS = ("experiment", "kind", "domain", "replay", "ptpp", "size", UNGROUPED)
NEEDS_RUNS = frozenset(
    {
        "open",
        "mark",
        "unmark",
        "sort",
        "group",
        "choose_group",
        "fold",
        "filter",
        "cancel",
        "retry",
        "new",
        "hold",
        "tag",
        "note",
        "pin",
        "delete",
        "export",
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


class Snapshot(NamedTuple):
    """Runs as listed, and what their columns need."""

    listing: Listing
    widths: tuple[Widths, ...]
    """By group."""
    fair: Fairness
    recalled: bool = False
    """Whether it is what somebody saw last, and may not be so any more."""


class RunsScreen(FilteredScreen, RunActions, RunPreview):
    """Runs by group, seeds joined; marks, filter, sort; cancelling and retrying."""

    SCOPE = "runs"
    TABLE = LongTable
    AUTO_FOCUS = "#runs"
    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "runs")]

    def __init__(self) -> None:
        super().__init__()
        self._sort = SORTS[0]
        self._group = GROUPS[0]
        self._folds = Folds()
        self._lines: list[TreeLine] = []
        """What the table shows, from the top."""
        self._snapshot: Snapshot | None = None
        self._lister: RunLister | None = None
        self._further: Mapping[str, type] = {}
        """Keys that a filter may name besides the columns."""
        self._sought = ""
        """A run to put the cursor on as soon as it is listed."""

    def compose_body(self) -> ComposeResult:
        example = "domain=tests and replay>=0.1 · tag:x · ~text"
        yield FilterLine(example, self._judge, lambda: {**FIELDS, **self._further}, self._values_of)
        yield Static(WELCOME, id="welcome")
        yield Static("No run passes the filter; Esc clears it.", id="nothing", classes="hint")
        yield Static("", id="fair", classes="hint", markup=False)
        yield LongTable(id="runs")
        yield Preview()

    def on_mount(self) -> None:
        self.query_one(LongTable).focus()

    def _judge(self, text: str) -> Filter:
        """A filter over the columns, and the keys of configurations as far as they have been read."""
        return parse(text, self._further)

    def action_filter(self) -> None:
        """Open the filter line; which keys the configurations have is read meanwhile."""
        super().action_filter()
        self.perform(self._reader.fields, self._offer)

    def _values_of(self, key: str) -> Sequence[object]:
        """The values that the runs have of a key, those of the filter's last good result."""
        rows = [row for group in self._groups for row in group.rows]
        if key == "tag":
            return [tag for row in rows for tag in row.tags]
        if key in FIELDS:
            return [row.value(key) for row in rows]
        return [self._reader.values(row.run_id).get(key) for row in rows]

    def _offer(self, fields: Mapping[str, type]) -> None:
        self._further = fields
        self.query_one(FilterLine).judge_again()

    def on_resize(self) -> None:
        self._redraw()

    def arrive(self, context: object) -> None:
        """A run that was just launched."""
        self._sought = str(context)
        self.reload()

    @property
    def _reader(self) -> RunLister:
        from odyssey_tui.services.run_list import RunLister

        self._lister = self._lister or RunLister(self.odyssey.workspace)
        return self._lister

    def request(self) -> Request:
        return Request(self._filter, self._sort, self._group)

    def load(self, request: Request) -> Snapshot:
        before = self._snapshot
        first = before is None and not request.filter
        recalled = self._reader.recall(sort=request.sort, group=request.group) if first else None
        listing = recalled or self._reader.read(request.filter, sort=request.sort, group=request.group)
        if before is not None and before.listing is listing:
            return before
        fair = compare_losses([row for group in listing.groups for row in group.rows])
        columns = RUN_COLUMNS if fair.per_token else BYTE_COLUMNS
        widths = tuple(measure(group.units, columns) for group in listing.groups)
        return Snapshot(listing, widths, fair, recalled is not None)

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._draw(snapshot, fresh_rows=True)
        if snapshot.recalled:
            self.call_after_refresh(self.reload)

    def _draw(self, snapshot: Snapshot, *, fresh_rows: bool = False) -> None:
        groups, fair = snapshot.listing.groups, snapshot.fair
        grouped, filtered = self._group != UNGROUPED, bool(self._filter)
        self.set_class(snapshot.listing.total == 0, "-empty")
        self.query_one("#fair", Static).update("" if fair.per_token else fair.sentence)
        self.query_one("#fair").display = not fair.per_token
        opened = [
            index
            for index, group in enumerate(groups)
            if not (grouped and self._folds.is_group_folded(group, filtered=filtered))
        ]
        needed = join_widths([snapshot.widths[index] for index in opened or range(len(groups))])
        columns = RUN_COLUMNS if fair.per_token else BYTE_COLUMNS
        name_width, columns = fit_columns(self.size.width - 1, needed, columns)
        table = self.query_one(LongTable)
        fresh = not table.keys
        self._lines = lines = self._folds.lines(groups, grouped=grouped, filtered=filtered)
        keys = [line.key for line in lines]
        table.show(table_columns(name_width, columns), keys, lambda index: self._cells(lines[index], groups, columns))
        if fresh and grouped and opened and not table.anchored:
            table.move_cursor(keys.index(group_key(groups[opened[0]])), lasting=False)
        if self._sought in keys:
            table.move_cursor(keys.index(self._sought))
            self._sought = ""
        self.query_one("#nothing", Static).display = bool(snapshot.listing.total) and not snapshot.listing.shown
        if self.focused is None and snapshot.listing.total:
            table.focus()
        roomy = self.size.width >= PREVIEW_WIDTH and self.size.height >= PREVIEW_HEIGHT
        self.set_class(roomy and bool(snapshot.listing.total), "-roomy")
        self.ask_preview(anew=fresh_rows)
        self.refresh_bindings()

    def _cells(self, line: TreeLine, groups: Sequence[RunGroup], columns: Sequence[RunColumn]) -> Cells:
        filtered, marked = bool(self._filter), self.odyssey.marked
        if line.unit is None:
            group = groups[line.group]
            folded = self._folds.is_group_folded(group, filtered=filtered)
            return heading_cells(group, columns, folded=folded)
        if line.row is None:
            folded = self._folds.is_unit_folded(line.unit, filtered=filtered)
            all_marked = all(row.run_id in marked for row in line.unit.rows)
            return unit_cells(line.unit, columns, marked=all_marked, folded=folded)
        return run_cells(line.row, columns, marked=line.row.run_id in marked, unit=line.unit)

    def subjects(self) -> tuple[Subject, ...]:
        """What to draw where there is room: the marked runs, else what is under the cursor, joined seeds as one."""
        from odyssey_tui.services.overlays import Subject

        if not self.has_class("-roomy"):
            return ()
        line = self._line()
        if self._marked_rows() or line is None or line.row is not None:
            parts = [(row.name, (row,)) for row in self._chosen()]
        elif line.unit is not None:
            parts = [(line.unit.name, line.unit.rows)]
        else:
            parts = [(unit.name, unit.rows) for unit in self._groups[line.group].units]
        drawn = [
            (name, tuple(row.run_id for row in rows if row.kind in TRAINED and row.loss is not None))
            for name, rows in parts
        ]
        return tuple(Subject(name, run_ids) for name, run_ids in drawn if run_ids)

    @on(LongTable.Moved)
    def preview_moved(self) -> None:
        """The curves of what is under the cursor, unless runs are marked."""
        self.ask_preview()

    @property
    def _groups(self) -> tuple[RunGroup, ...]:
        return self._snapshot.listing.groups if self._snapshot is not None else ()

    def _line(self) -> TreeLine | None:
        """What is under the cursor."""
        place = self.query_one(LongTable).cursor_row
        return self._lines[place] if 0 <= place < len(self._lines) else None

    def _rows_under_cursor(self) -> list[RunRow]:
        """The run, the seeds or the group under the cursor."""
        line = self._line()
        if line is None:
            return []
        if line.row is not None:
            return [line.row]
        return list(line.unit.rows if line.unit is not None else self._groups[line.group].rows)

    def _marked_rows(self) -> list[RunRow]:
        marked = set(self.odyssey.marked)
        return [row for group in self._groups for row in group.rows if row.run_id in marked] if marked else []

    def _chosen(self) -> list[RunRow]:
        return self._marked_rows() or self._rows_under_cursor()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        empty = self._snapshot is not None and self._snapshot.listing.total == 0
        if action in ("demo",):
            return empty
        if action in NEEDS_RUNS:
            return not empty
        if action == "leave":
            return self.filtering
        return True

    @on(LongTable.Selected)
    def open_clicked(self) -> None:
        """A click on the row under the cursor opens it, as Enter does."""
        self.action_open()

    def action_open(self) -> None:
        """The run under the cursor; groups and joined seeds fold or unfold."""
        line = self._line()
        if line is None:
            return
        if line.row is None:
            self._folds.turn(line.key, filtered=bool(self._filter))
            self._redraw()
            return
        from odyssey_tui.screens.run import RunScreen

        self.app.push_screen(RunScreen(line.row.run_id, line.row))

    def action_fold(self) -> None:
        """Fold every group, or unfold them all."""
        self._folds.fold_all(self._groups, filtered=bool(self._filter))
        self._redraw()

    def action_mark(self) -> None:
        """Mark or unmark what is under the cursor, of a group or of joined seeds every run, and go to the next line."""
        run_ids = [row.run_id for row in self._rows_under_cursor()]
        marked = self.odyssey.marked
        if all(run_id in marked for run_id in run_ids):
            self.odyssey.marked[:] = [run_id for run_id in marked if run_id not in set(run_ids)]
        else:
            marked += [run_id for run_id in run_ids if run_id not in marked]
        self._redraw()
        self.query_one(LongTable).action_cursor_down()

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
        self._group_by(following(GROUPS, self._group))

    def _group_by(self, key: str) -> None:
        self._group = key
        self.notify(f"grouped by {key}" if key != UNGROUPED else "not grouped", timeout=2, markup=False)
        self.reload()

    def action_choose_group(self) -> None:
        """Group by a key from a list: those of the table, then those of the configurations that differ."""
        self.perform(self._reader.group_keys, self._choose_group)

    def _choose_group(self, found: Sequence[tuple[str, int]]) -> None:
        from odyssey_tui.screens.choose import ChooseScreen

        keys = [*GROUPS, *(key for key, _ in found)]
        options = [*GROUPS, *(f"{key}  ({count} values)" for key, count in found)]

        def answer(index: int | None) -> None:
            if index is not None:
                self._group_by(keys[index])

        self.app.push_screen(ChooseScreen("Group by", options), answer)

    def copied(self) -> Copied | None:
        """Ids: of the marked runs, else of what is under the cursor."""
        return copied_runs([row.run_id for row in self._chosen()])

    def action_export(self) -> None:
        """The runs that pass the filter, or the curves below them, as a file."""
        from odyssey_tui.services.figure_export import Exportable
        from odyssey_tui.services.run_tables import group_records, run_columns

        rows = [row for group in self._groups for row in group.rows]
        figure, view = self.query_one(Preview).seen if self.has_class("-roomy") else (None, None)
        columns, records = run_columns(rows, whole=True), [row.record() for row in rows]
        paper = (run_columns(rows), records)
        record = group_records(self._groups)
        ask_export(self, Exportable("runs", figure, columns, records, record, wide=paper, view=view))

    async def action_new(self) -> None:
        """A new sweep from the experiment of the run under the cursor."""
        rows = self._rows_under_cursor()
        await self.odyssey.go("launch", rows[0].experiment if rows else None)

    def action_demo(self) -> None:
        """Start the demo in this empty workspace."""
        from odyssey_tui.services.demo import start_demo

        self.perform(lambda: start_demo(self.odyssey.workspace), self._demo_started)

    def _demo_started(self, submitted: object) -> None:
        self.notify("the demo is queued; the line at the bottom follows it")
        self.reload()
