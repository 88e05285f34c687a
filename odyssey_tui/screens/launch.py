"""Screen 3: a sweep composed over an experiment, expanded while it is edited, and queued."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import one_line
from odyssey_tui.screens.confirm import ConfirmScreen
from odyssey_tui.screens.drafting import DraftingScreen, first_problems
from odyssey_tui.screens.starting import StartScreen
from odyssey_tui.screens.text import TextScreen
from odyssey_tui.services.plan_words import summary
from odyssey_tui.services.starts import Start
from odyssey_tui.widgets.audit_line import AuditLine
from odyssey_tui.widgets.axes_form import AxesForm
from odyssey_tui.widgets.field_editor import FieldEditor
from odyssey_tui.widgets.field_table import FieldTable
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.keyed_table import KeyedTable
from odyssey_tui.widgets.plan_details import PlanDetails
from odyssey_tui.widgets.planned_rows import planned_columns, planned_row
from store.errors import OdysseyError

if TYPE_CHECKING:
    from subprocess import Popen

    from engine.spec.located import KeyPath
    from odyssey_tui.services.audit_sources import Known
    from odyssey_tui.services.composition import Composition
    from odyssey_tui.services.draft import Draft
    from odyssey_tui.services.timing import Calibration

HOW_TO = "Tab: next field · Enter, then L: launch · f: every key"
BRIEFLY = "Enter, L: launch"
NAMED = 6
"""Runs that the question names."""


class Request(NamedTuple):
    """What to expand: a draft, or what is called ``start``; without either the newest experiment."""

    draft: Draft | None
    start: Start | None
    calibration: Calibration | None


class Snapshot(NamedTuple):
    """A draft and what it expands into, or everything that is wrong with it."""

    draft: Draft
    composition: Composition | None
    problems: tuple[tuple[KeyPath, str], ...]
    refused: str
    opened: bool
    """Whether the draft was opened for it."""
    known: Known | None = None
    """Format audits of its texts that are there already."""


class LaunchScreen(DraftingScreen):
    """The form, and the runs it expands into below it, or beside it. ``L`` asks, ``y`` launches."""

    SCOPE = "launch"
    CSS_PATH = "launch.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "launch")]

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None
        self._start: Start | None = None
        self._asked = False
        self._calibration: Calibration | None = None
        self._timing: list[Popen[str]] = []
        self._is_timing = False

    def compose_body(self) -> ComposeResult:
        yield Static("", id="source")
        with Container(id="panes"):
            with Vertical(id="form"):
                yield AxesForm()
                yield FilterLine("masks · replay · laws forms", str)
                yield FieldTable(id="fields")
                yield FieldEditor(id="editor")
            with Vertical(id="plan"):
                yield Static("", id="verdict", markup=False)
                yield AuditLine(id="audit")
                yield KeyedTable(id="planned")
                yield PlanDetails(id="details")

    def on_mount(self) -> None:
        self.query_one(AxesForm).begin()

    def on_resize(self) -> None:
        self.draw_form()
        if self._snapshot is not None:
            self._draw_plan(self._snapshot)

    @property
    def planned(self) -> KeyedTable:
        """The runs."""
        return self.query_one("#planned", KeyedTable)

    def arrive(self, context: object) -> None:
        """Start from the experiment, or the run, of this name."""
        name = str(context)
        is_run = name in self.odyssey.workspace.run_ids()
        self._restart(Start("run" if is_run else "named", name))

    def _restart(self, start: Start | None) -> None:
        self.opening, self._start = True, start
        self.reload()

    def request(self) -> Request:
        return Request(None if self.opening else self.draft, self._start, self._calibration)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.audit_sources import read_known
        from odyssey_tui.services.draft_fields import list_fields
        from odyssey_tui.services.launch import compose, examine_block
        from odyssey_tui.services.starts import open_chosen

        workspace = self.odyssey.workspace
        draft = request.draft or open_chosen(workspace, request.start)
        opened = request.draft is None
        if opened:
            list_fields(draft, frozenset(), "a")  # reads every model's keys, which takes a moment the first time
        try:
            found = draft.examine() if draft.block is None else examine_block(draft)
            if found.problems:
                problems = first_problems(found.problems)
                path, text = next(iter(problems.items()))
                more = f" · and {len(problems) - 1} more" if len(problems) > 1 else ""
                refused = f"{'.'.join(str(part) for part in path)} {text}{more}".strip()
                return Snapshot(draft, None, tuple(problems.items()), refused, opened)
            composition = compose(workspace, draft, request.calibration, self.odyssey.states)
        except OdysseyError as error:
            return Snapshot(draft, None, (), one_line(error), opened)
        return Snapshot(draft, composition, (), "", opened, read_known(workspace, composition.plan.runs))

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        if snapshot.opened and self.opening:
            self.begin(snapshot.draft)
            if self.query_one(AxesForm).query("Input:focus"):
                self.query_one(AxesForm).begin()
        self.tell_problems(dict(snapshot.problems))
        self.draw_source()
        self._draw_plan(snapshot)
        if self._asked:
            self._asked = False
            self.action_launch()

    def draw_source(self) -> None:
        draft = self.draft
        if draft is None:
            return
        scope = "whole experiment"
        if draft.block is not None:
            scope = (
                f"block {draft.block + 1} of {len(draft.blocks)} only" if len(draft.blocks) > 1 else "its block only"
            )
        elif len(draft.blocks) > 1:
            scope += f", axes of block {self.block + 1} of {len(draft.blocks)}"
        source = Text("experiment  ", "dim").append(draft.title, "bold").append(f"  {scope}", "dim")
        for told in (HOW_TO, BRIEFLY):
            if self.size.width >= source.cell_len + len(told) + 4:
                source.append(told.rjust(self.size.width - source.cell_len - 2), "dim")
                break
        source.truncate(max(1, self.size.width - 2), overflow="ellipsis")
        self.query_one("#source", Static).update(source)

    def _draw_plan(self, snapshot: Snapshot) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(snapshot.refused), "-refused")
        verdict.update(snapshot.refused or (summary(snapshot.composition) if snapshot.composition else ""))
        self.query_one(AuditLine).show(snapshot.known)
        self.query_one("#plan").set_class(bool(snapshot.refused), "-stale")
        composition = snapshot.composition
        if composition is None:
            return
        width = self.size.width - (self.form_width + 1 if self.has_class("-wide") else 0)
        columns = planned_columns(composition.runs, width)
        starting_first = sorted(composition.runs, key=lambda run: not run.starts)
        self.planned.show(columns, [planned_row(run, columns) for run in starting_first])
        if not self.planned.has_focus:  # what is new comes first, and is what is being composed
            self.planned.move_cursor(row=0)
        self.point_at_run()
        self.query_one(PlanDetails).show(composition, calibrated=self._calibration is not None)

    @on(KeyedTable.RowHighlighted, "#planned")
    def point_at_run(self) -> None:
        """What the run under the cursor takes comes first."""
        self.query_one(PlanDetails).point_at(self.planned.current)

    def action_details(self) -> None:
        """All that can be said of what the runs take, and what their grid could tell."""
        if self._composed() is not None:
            self.app.push_screen(TextScreen("Plan", "\n\n".join(self.query_one(PlanDetails).lines)))

    def leave_axes(self) -> None:
        (self.planned if self.planned.region else self.query_one(FieldTable)).focus()

    def action_leave(self) -> None:
        """Escape, one step at a time: out of the line of a key, the search, the axes; from the keys to the runs."""
        if self.leave_editor() or self.leave_search():
            return
        if self.query_one(AxesForm).query("Input:focus"):
            self.leave_axes()
        else:
            self.remove_class("-fields")
            self.planned.focus()

    def action_fields(self) -> None:
        """To every key of the experiment, or back to its runs."""
        table = self.query_one(FieldTable)
        if table.has_focus:
            self.remove_class("-fields")
            self.planned.focus()
        else:
            self.add_class("-fields")
            table.focus()

    def action_find(self) -> None:
        self.add_class("-fields")
        super().action_find()

    def action_open(self) -> None:
        """Enter: the key under the cursor, or the run of the row under it."""
        if self.planned.has_focus:
            run_id = self.planned.current
            if run_id is not None and self.odyssey.workspace.run(run_id).exists():
                from odyssey_tui.screens.run import RunScreen

                self.app.push_screen(RunScreen(run_id))
        else:
            self.add_class("-fields")
            self.open_field()

    @on(KeyedTable.RowSelected)
    def row_clicked(self) -> None:
        """A click on the row under the cursor opens it, as Enter does."""
        self.action_open()

    def action_start(self) -> None:
        """Choose what to start from."""

        def start_from(start: Start | None) -> None:
            if start is not None:
                self._restart(start)

        self.app.push_screen(StartScreen(self.odyssey.workspace), start_from)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "audit":
            return not self.query_one(AuditLine).phase
        if action == "calibrate":
            return not self._is_timing
        return True

    def action_audit(self) -> None:
        """Audit the format of the texts; what it finds shows up when it is there."""
        if (composition := self._composed()) is not None:
            self.query_one(AuditLine).begin(composition.plan.runs, self.odyssey.workspace)
            self.refresh_bindings()

    @on(AuditLine.Ended)
    def audit_ended(self, message: AuditLine.Ended) -> None:
        """Read what the audit left."""
        if message.error is not None:
            self.notify(one_line(message.error), severity="error", timeout=10)
        self.refresh_bindings()
        self.reload()

    def _composed(self) -> Composition | None:
        """What the form expands into; tells when there is nothing."""
        composition = self._snapshot.composition if self._snapshot is not None else None
        if composition is None:
            self.notify("correct the form first", severity="warning")
        return composition

    def action_calibrate(self) -> None:
        """Time a few steps of every new model."""
        composition = self._composed()
        if composition is None or not composition.new:
            return
        from odyssey_tui.services.timing import calibrate_new

        self._is_timing = True
        self.refresh_bindings()
        self.notify("training a few steps of every new model …", timeout=4)
        self.perform(lambda: calibrate_new(composition, self._timing.append), self._timed, self._timing_ended)

    def _timed(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self.reload()

    def _timing_ended(self) -> None:
        self._is_timing = False
        self.refresh_bindings()

    def on_unmount(self) -> None:
        """What nobody will see ends with the screen."""
        for process in self._timing:
            process.terminate()

    def action_launch(self) -> None:
        """Ask, then queue what is new. Pressed while the form is being expanded, it asks when that is done."""
        if self._loading:
            self._asked = True
            return
        composition = self._composed()
        if composition is None:
            return
        if not composition.new:
            self.notify("every one of these runs exists already", severity="warning")
            return
        names = "\n".join(f"  {run.name}" for run in composition.new[:NAMED])
        more = f"\n  and {len(composition.new) - NAMED} more" if len(composition.new) > NAMED else ""
        text = f"{summary(composition)}\n{names}{more}"
        self.app.push_screen(ConfirmScreen("Launch", text), lambda yes: self._launch(composition) if yes else None)

    def _launch(self, composition: Composition) -> None:
        from odyssey_tui.services.launch import launch

        workspace = self.odyssey.workspace
        self.perform(lambda: launch(workspace, composition), lambda _: self._launched(composition))

    def _launched(self, composition: Composition) -> None:
        new = len(composition.new)
        self.notify(f"{new} {'run' if new == 1 else 'runs'} queued")
        self.opening, self._start = True, None
        self.odyssey.look_now()
        self.run_worker(self.odyssey.go("runs", composition.new[0].run_id), group="go")
