"""Screen 3: a sweep composed over an experiment, expanded while it is typed, and queued."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input, Label, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import OdysseyScreen, one_line
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.confirm import ConfirmScreen
from odyssey_tui.services.audit import GLYPHS
from odyssey_tui.services.format import count, cut, duration, state_text
from odyssey_tui.widgets.keyed_table import KeyedTable, TableColumn, TableRow

if TYPE_CHECKING:
    from subprocess import Popen

    from odyssey_tui.services.audit_sources import Known
    from odyssey_tui.services.composition import Composition, PlannedRun
    from odyssey_tui.services.launch import Source

LABELS = {
    "replay_ratio": "ρ replay",
    "domain": "domain",
    "ptpp": "PTPP",
    "size": "size",
    "atpp": "ATPP",
    "method": "method",
    "rank": "rank",
    "lr": "lr",
    "seeds": "seeds",
}
ESTIMATED = (
    TableColumn("memory", " memory ≈", 9),
    TableColumn("time", "   time ≈", 9),
    TableColumn("steps", "    steps", 9),
)
ESTIMATE_WIDTH = 11
"""Of a column with its padding."""
HOW_TO = "Tab: next field · Enter, then L: launch"
FIRST_FIELD = "replay_ratio"


class Request(NamedTuple):
    """What to expand; ``path`` None: the newest experiment, ``form`` None: as written in the experiment."""

    path: Path | None
    name: str | None
    form: dict[str, str] | None


class Snapshot(NamedTuple):
    """The experiments there are, the chosen one, its form, and what that expands into, or why it does not."""

    sources: tuple[Source, ...]
    source: Source
    form: dict[str, str]
    composition: Composition | None
    refused: str
    field: str
    known: Known | None = None
    """Format audits of its texts that are there already."""


class LaunchScreen(OdysseyScreen):
    """The form on top, the runs it expands into below. ``L`` asks, ``y`` launches."""

    SCOPE = "launch"
    CSS_PATH = "launch.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "launch")]

    @dataclass
    class Audited(Message):
        """How far the format audit is; without a phase it has ended."""

        phase: str
        error: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self._auditing = ""
        self._audits: list[Popen[str]] = []
        """What the format audit is at; empty while there is none."""
        self._snapshot: Snapshot | None = None
        self._path: Path | None = None
        self._name: str | None = None
        self._form: dict[str, str] | None = None
        self._asked = False

    def compose_body(self) -> ComposeResult:
        yield Static("", id="source")
        with Container(id="form"):
            for name, label in LABELS.items():
                with Container(classes="field", id=f"field-{name}"):
                    yield Label(label)
                    yield Input(id=name, compact=True)
        yield Static("", id="verdict", markup=False)
        yield Static("", id="audit", markup=False)
        yield KeyedTable(id="planned")

    def on_mount(self) -> None:
        self.query_one(f"#{FIRST_FIELD}").focus()

    def arrive(self, context: object) -> None:
        """Start from the experiment of this name."""
        self._path, self._name, self._form = None, str(context), None
        self.reload()

    def request(self) -> Request:
        return Request(self._path, self._name, self._form)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.audit_sources import read_known
        from odyssey_tui.services.launch import FieldError, compose, list_sources, read_form

        workspace = self.odyssey.workspace
        sources = tuple(list_sources(workspace))
        source = choose_source(sources, request)
        form = request.form if request.form is not None else read_form(source.path)
        try:
            composition = compose(workspace, source.path, form)
        except FieldError as error:
            return Snapshot(sources, source, form, None, one_line(error), error.field)
        return Snapshot(sources, source, form, composition, "", "", read_known(workspace, composition.plan.runs))

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        if self._form is None or self._path != snapshot.source.path:
            self._path, self._form = snapshot.source.path, dict(snapshot.form)
            with self.prevent(Input.Changed):
                for name, value in snapshot.form.items():
                    self.query_one(f"#{name}", Input).value = value
            self.query_one(f"#{FIRST_FIELD}", Input).select_all()
        source = Text("experiment  ", "dim").append(snapshot.source.title, "bold")
        if self.size.width >= source.cell_len + len(HOW_TO) + 6:
            source.append(HOW_TO.rjust(self.size.width - source.cell_len - 3), "dim")
        self.query_one("#source", Static).update(source)
        self._draw_verdict(snapshot)
        self._draw_audit(snapshot.known)
        self._draw_table(snapshot)
        if self._asked:
            self._asked = False
            self.action_launch()

    def _draw_verdict(self, snapshot: Snapshot) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(snapshot.refused), "-refused")
        for name in LABELS:
            self.query_one(f"#field-{name}").set_class(name == snapshot.field, "-refused")
        verdict.update(snapshot.refused or (summary(snapshot.composition) if snapshot.composition else ""))

    def _draw_audit(self, known: Known | None) -> None:
        line = self.query_one("#audit", Static)
        line.display = known is not None
        if known is None:
            return
        worst = known.warnings[0].finding.level if known.warnings else ""
        line.set_class(worst == "serious", "-serious")
        if self._auditing:
            line.update(f"format audit: {self._auditing}")
        else:
            line.update(audit_text(known, self.size.width - 2))

    def _draw_table(self, snapshot: Snapshot) -> None:
        if snapshot.composition is None:
            return
        runs = snapshot.composition.runs
        longest = max((len(run.name) for run in runs), default=10)
        name_width = max(14, min(longest, self.size.width - 44))
        shown = max(0, (self.size.width - name_width - 44) // ESTIMATE_WIDTH)
        columns = [
            TableColumn("state", "state", 11),
            TableColumn("name", "run", name_width),
            TableColumn("at", "at", 12),
            TableColumn("tokens", "tokens", 7),
            TableColumn("flops", " FLOPs", 7),
            *ESTIMATED[:shown],
        ]
        starting_first = sorted(runs, key=lambda run: not run.starts)
        table = self.query_one(KeyedTable)
        table.show(columns, [planned_row(run, name_width, shown) for run in starting_first])
        if not table.has_focus:  # what is new comes first, and is what is being composed
            table.move_cursor(row=0)

    @on(Input.Changed)
    def field_changed(self, event: Input.Changed) -> None:
        """Expand again with what is typed."""
        if self._form is not None and event.input.id in LABELS:
            self._form = {**self._form, event.input.id: event.value}
            self.reload()

    @on(Input.Submitted)
    def field_submitted(self) -> None:
        """Enter leaves the form for the runs it expands into."""
        self.query_one(KeyedTable).focus()

    def action_leave(self) -> None:
        """Escape: out of the field."""
        self.query_one(KeyedTable).focus()

    def action_experiment(self) -> None:
        """Choose what to start from."""
        if self._snapshot is None:
            return
        from odyssey_tui.services.launch import titles

        sources = self._snapshot.sources

        def start_from(index: int | None) -> None:
            if index is not None:
                self._path, self._name, self._form = sources[index].path, None, None
                self.reload()

        self.app.push_screen(ChooseScreen("Start from", titles(sources)), start_from)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "audit":
            return not self._auditing
        return True

    def action_audit(self) -> None:
        """Audit the format of the texts, in a process of its own; what it finds shows up when it is there."""
        from odyssey_tui.services.audit_sources import audit_runs

        composition = self._snapshot.composition if self._snapshot is not None else None
        if composition is None:
            self.notify("correct the form first", severity="warning")
            return
        workspace, runs = self.odyssey.workspace, composition.plan.runs
        self._show_auditing("reading the texts …")

        def hear(progress: dict[str, Any]) -> None:
            self.post_message(self.Audited(f"{progress['phase']} ({progress['done']} of {progress['total']}) …"))

        def work() -> None:
            try:
                audit_runs(runs, workspace, hear=hear, started=self._audits.append)
            except Exception as error:
                self.post_message(self.Audited("", error))
            else:
                self.post_message(self.Audited(""))

        self.run_worker(work, group="audit", thread=True, exclusive=True, exit_on_error=False)

    @on(Audited)
    def follow_audit(self, message: Audited) -> None:
        """How far the audit is; at its end, read what it left."""
        if message.error is not None:
            self.notify(one_line(message.error), severity="error", timeout=10)
        self._show_auditing(message.phase)
        if not message.phase:
            self.reload()

    def on_unmount(self) -> None:
        """An audit that nobody will see ends with the screen, which a thread would wait for."""
        for process in self._audits:
            process.terminate()

    def _show_auditing(self, phase: str) -> None:
        self._auditing = phase
        self._draw_audit(self._snapshot.known if self._snapshot is not None else None)
        self.refresh_bindings()

    def action_launch(self) -> None:
        """Ask, then queue what is new. Pressed while the form is being expanded, it asks when that is done."""
        if self._loading:
            self._asked = True
            return
        composition = self._snapshot.composition if self._snapshot is not None else None
        if composition is None:
            self.notify("correct the form first", severity="warning")
        elif not composition.new:
            self.notify("every one of these runs exists already", severity="warning")
        else:
            names = "\n".join(f"  {run.name}" for run in composition.new[:6])
            more = f"\n  and {len(composition.new) - 6} more" if len(composition.new) > 6 else ""
            text = f"{summary(composition)}\n{names}{more}"
            self.app.push_screen(ConfirmScreen("Launch", text), lambda yes: self._launch(composition) if yes else None)

    def _launch(self, composition: Composition) -> None:
        from odyssey_tui.services.launch import launch

        workspace = self.odyssey.workspace
        self.perform(lambda: launch(workspace, composition), lambda _: self._launched(composition))

    def _launched(self, composition: Composition) -> None:
        new = len(composition.new)
        self.notify(f"{new} {'run' if new == 1 else 'runs'} queued")
        self._path, self._form = None, None
        self.odyssey.look_now()
        self.run_worker(self.odyssey.go("runs", composition.new[0].run_id), group="go")


def choose_source(sources: tuple[Source, ...], request: Request) -> Source:
    """The experiment by path, by name, or the first: the newest launched one, else a ready one."""
    for source in sources:
        if source.path == request.path or (request.path is None and source.name == request.name):
            return source
    return sources[0]


def summary(composition: Composition) -> str:
    """``22 new runs, 4 there already · 20.2M tokens (33 % saved by sharing) · 8.6T FLOPs · about 3m on 2 slots``."""
    new, there = len(composition.new), len(composition.runs) - len(composition.new)
    parts = [f"{new} new {'run' if new == 1 else 'runs'}" + (f", {there} there already" if there else "")]
    if new:
        saved = composition.sharing.saved
        by_sharing = f" ({100 * saved:.0f} % saved by sharing)" if saved > 0.005 else ""
        parts += [f"{count(composition.tokens)} tokens{by_sharing}", f"{count(composition.flops)} FLOPs"]
        slots = "one slot" if composition.slots == 1 else f"{composition.slots} slots"
        parts.append(f"about {duration(composition.seconds)} on {slots}" if composition.seconds else "not timed yet")
        parts.append(f"disk ≈ {count(composition.disk_bytes)}B")
    return " · ".join([*parts, *composition.cautions])


def audit_text(known: Known, width: int) -> str:
    """What the audit says in a line or two, the worst first, and how to have one."""
    text = f"format audit: {known.summary}"
    if known.missing:
        text += " · a: audit the texts"
    if known.warnings:
        first = known.warnings[0]
        text += f" · {GLYPHS[first.finding.level]} {first.audits[0].name}: {first.finding.message}"
    return cut(text, 2 * width)


def planned_row(run: PlannedRun, name_width: int, shown: int) -> TableRow:
    """A run of the plan as a row with the first ``shown`` estimates; those that exist are dim."""
    new = run.state == "new"
    style = "" if new else "dim"
    at = ", ".join(f"{budget:g}" for budget in run.budgets)
    estimates = (
        count(run.memory_bytes) if run.memory_bytes else "",
        duration(run.seconds) if run.seconds and run.starts else "",
        count(run.steps) if run.steps else "",
    )
    texts = (
        "+ new" if new else state_text(run.state),
        cut(run.name, name_width),
        cut(at, 12),
        (count(run.tokens) if run.tokens else "").rjust(7),
        (count(run.flops) if run.flops else "").rjust(7),
        *(text.rjust(9) for text in estimates[:shown]),
    )
    return TableRow(run.run_id, tuple(Text(text, style) for text in texts))
