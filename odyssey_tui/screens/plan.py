"""Screen 8: limits, the map of replay ratio and budget that they leave, and a run of any cell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Input, Label, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, OdysseyScreen, following, one_line
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.services.plan_fields import FIELDS, NONE
from odyssey_tui.widgets.plan_heat import PlanHeat
from store.errors import OdysseyError

if TYPE_CHECKING:
    from odyssey_tui.services.plan import PlanMap, Problem
    from odyssey_tui.services.plan_basis import Source


class Request(NamedTuple):
    """What to plan. ``known``: what was read already, when only the question changes; ``form`` None: as the experiment
    says."""

    domain: str | None
    form: dict[str, str] | None
    problem: Problem | None
    known: Source | None


class Snapshot(NamedTuple):
    """What was read, the form, and the map; or why there is none, and which field is at fault."""

    domains: tuple[str, ...]
    source: Source | None
    form: dict[str, str]
    found: PlanMap | None
    refused: str = ""
    field: str = ""


class PlanScreen(OdysseyScreen):
    """Limits on top, the map below, the cell under the cursor and the answer in words beside it."""

    SCOPE = "plan"
    CSS_PATH = "plan.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "plan")]

    def __init__(self) -> None:
        super().__init__()
        self._domain: str | None = None
        self._form: dict[str, str] | None = None
        self._problem: Problem | None = None
        self._view = "probability"
        self._asking = False
        self._snapshot: Snapshot | None = None
        self._placed = False
        """Whether the cursor has been put on an answer."""

    def compose_body(self) -> ComposeResult:
        with Container(id="form"):
            for name, field in FIELDS.items():
                with Container(classes="field", id=f"field-{name}"):
                    yield Label(field.label)
                    yield Input(id=name, compact=True, placeholder=NONE)
        yield Static(READING, id="empty", markup=False)
        yield Static("", id="heading", markup=False)
        with Container(id="main"):
            yield PlanHeat(id="map")
            with VerticalScroll(id="words"):
                yield Static("", id="cell", markup=False)
                yield Static("", id="answer", markup=False)

    def on_mount(self) -> None:
        self.set_class(True, "-empty")
        self.query_one(PlanHeat).focus()
        self.watch(self.app, "theme", self._draw_map, init=False)

    def arrive(self, context: object) -> None:
        """A domain to plan for."""
        self._domain, self._form, self._problem, self._placed = str(context), None, None, False
        self.reload()

    def request(self) -> Request:
        known = self._snapshot.source if self._asking and self._snapshot is not None else None
        self._asking = False
        return Request(self._domain, self._form, self._problem, known)

    def load(self, request: Request) -> Snapshot:
        from engine.laws.errors import LawError
        from odyssey_tui.services.plan import Asked, solve, with_limits
        from odyssey_tui.services.plan_basis import list_domains, read_source
        from odyssey_tui.services.plan_fields import FieldError, read_fields, write_fields
        from odyssey_tui.services.stored_laws import NO_FITS, NO_FITS_HINT

        workspace = self.odyssey.workspace
        domains = list_domains(workspace) if request.known is None else ()
        domains = domains or (self._snapshot.domains if self._snapshot is not None else ())
        try:
            source, form = request.known or read_source(workspace, request.domain), request.form
        except LawError as error:
            return Snapshot(domains, None, {}, None, f"{error.message}\n\n{error.hint}")
        if source is None:
            return Snapshot(domains, None, {}, None, f"{NO_FITS}\n\n{NO_FITS_HINT}\n\n{WHAT_TO_PRESS}")
        try:
            if form is None:
                asked = with_limits(source, Asked(problem=request.problem))
                form = write_fields(asked, source.basis().model)
            found = solve(source, read_fields(form, request.problem))
        except FieldError as error:
            return Snapshot(domains, source, form or {}, None, one_line(error), error.field)
        except OdysseyError as error:
            return Snapshot(domains, source, form or dict.fromkeys(FIELDS, ""), None, one_line(error))
        return Snapshot(domains, source, form, found)

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.set_class(snapshot.source is None, "-empty")
        self.query_one("#empty", Static).update(snapshot.refused)
        if self._form is None and snapshot.form:
            self._form = dict(snapshot.form)
            with self.prevent(Input.Changed):
                for name, value in snapshot.form.items():
                    self.query_one(f"#{name}", Input).value = value
        for name in FIELDS:
            self.query_one(f"#field-{name}").set_class(name == snapshot.field, "-refused")
        self._draw_heading()
        self._draw_map()
        self._tell_answer()
        if snapshot.found is not None and not self._placed:
            self._placed = True
            self.action_answer()
        self.refresh_bindings()

    def _draw_heading(self) -> None:
        snapshot, heading = self._snapshot, self.query_one("#heading", Static)
        if snapshot is None or snapshot.source is None:
            return
        heading.set_class(bool(snapshot.refused), "-refused")
        if snapshot.found is None:
            heading.update(snapshot.refused)
            return
        found = snapshot.found
        at = self.focused.id if isinstance(self.focused, Input) else None
        heading.update(heading_text(found, FIELDS[at].help if at in FIELDS else meaning_of(found, self._view)))

    def _draw_map(self) -> None:
        from odyssey_tui.widgets.plan_heat import plan_table

        found = self._found
        if found is not None:
            dark, color = self.app.current_theme.dark, not self.app.no_color
            self.query_one(PlanHeat).show(plan_table(found, self._view, dark=dark, color=color))

    def _tell_answer(self) -> None:
        from odyssey_tui.services.planning_words import tell_answer

        pane = self.query_one("#answer", Static)
        if self._found is None:
            pane.update("")
            return
        first, *rest = tell_answer(self._found.answer)
        pane.update(Text(first).append("".join(f"\n· {sentence}" for sentence in rest), "dim"))

    @property
    def _found(self) -> PlanMap | None:
        return self._snapshot.found if self._snapshot is not None else None

    @property
    def _at(self) -> tuple[int, int]:
        heat = self.query_one(PlanHeat)
        return heat.row, heat.column

    @on(PlanHeat.Moved)
    def tell_cell(self) -> None:
        """What the laws say of the cell under the cursor."""
        from odyssey_tui.services.plan_cells import tell_cell

        if self._found is not None:
            self.query_one("#cell", Static).update(cell_text(tell_cell(self._found, self._at), self.size.width))

    def on_descendant_focus(self) -> None:
        """What to type in the field that has the focus; what the cells mean, once none has it."""
        self._draw_heading()

    @on(Input.Changed)
    def field_changed(self, event: Input.Changed) -> None:
        """Plan anew with what is typed."""
        if self._form is not None and event.input.id in FIELDS:
            self._form = {**self._form, event.input.id: event.value}
            self._ask()

    @on(Input.Submitted)
    def field_submitted(self) -> None:
        """Enter leaves the form for the map."""
        self.query_one(PlanHeat).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        found, snapshot = self._found, self._snapshot
        if action in ("queue", "export", "view", "next"):
            return found is not None
        if action in ("limits", "problem"):
            return snapshot is not None and snapshot.source is not None
        if action == "answer":
            return found is not None and found.choice is not None
        if action == "leave":
            return isinstance(self.focused, Input)
        if action == "domain":
            return snapshot is not None and len(snapshot.domains) > 1
        return True

    def action_leave(self) -> None:
        """Escape: out of the field."""
        self.query_one(PlanHeat).focus()

    def action_limits(self) -> None:
        """The first field."""
        self.query_one("#forgetting", Input).focus()

    def action_problem(self) -> None:
        """The next problem."""
        from odyssey_tui.services.plan import PROBLEMS

        current = self._problem or (self._found.answer.goal if self._found is not None else None)
        self._problem = following(tuple(PROBLEMS), current)
        self._placed = False
        self._ask()

    def action_view(self) -> None:
        """The next quantity on the map."""
        from odyssey_tui.services.plan_cells import VIEWS

        self._view = following(tuple(VIEWS), self._view)
        self._draw_heading()
        self._draw_map()

    def action_answer(self) -> None:
        """The cursor on the chosen cell."""
        if self._found is not None and self._found.choice is not None:
            self.query_one(PlanHeat).move(*self._found.choice)

    def action_domain(self) -> None:
        """Another domain, from a list."""
        if self._snapshot is None:
            return
        domains = self._snapshot.domains

        def chosen(index: int | None) -> None:
            if index is not None:
                self.arrive(domains[index])

        self.app.push_screen(ChooseScreen("Domain", domains), chosen)

    def action_export(self) -> None:
        """The map as a figure, CSV or LaTeX, everything as JSON."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.plan_cells import exportable

        if self._found is not None:
            ask_export(self, exportable(self._found, self._view))

    def action_queue(self) -> None:
        """Enter: the run of the cell under the cursor, after asking; the one that is there is opened."""
        from odyssey_tui.screens.next_runs import find_run
        from odyssey_tui.services.plan_queue import wanted_at

        snapshot = self._snapshot
        if snapshot is None or snapshot.found is None or snapshot.source is None:
            return
        find_run(self, wanted_at(snapshot.found, self._at), snapshot.source.experiment)

    def action_next(self) -> None:
        """Runs that would tell most about the cell under the cursor; Enter on one queues it."""
        from odyssey_tui.screens.next_runs import SHOWN_RUNS, offer_runs
        from odyssey_tui.services.next_runs import next_runs, read_rate

        snapshot = self._snapshot
        if snapshot is None or snapshot.found is None or snapshot.source is None:
            return
        workspace, source, found = self.odyssey.workspace, snapshot.source, snapshot.found
        ratio, budget = (
            float(axis[at]) for axis, at in zip((found.grid.replay_ratio, found.grid.atpp), self._at, strict=True)
        )
        self.perform(
            lambda: next_runs(source, found, ratio, budget, SHOWN_RUNS, read_rate(workspace)),
            lambda runs: offer_runs(self, runs, source.experiment),
        )

    @on(PlanHeat.Selected)
    def queue_clicked(self) -> None:
        """A click on the cell under the cursor, as Enter."""
        self.action_queue()

    def _ask(self) -> None:
        """The same laws, another question."""
        self._asking = True
        self.reload()


def heading_text(found: PlanMap, below: str) -> Text:
    """The answer in a line, and another line below."""
    from odyssey_tui.services.planning_words import tell_short

    answer = found.answer
    text = Text(tell_short(answer), "bold" if answer.choice else "bold reverse")
    what = " · ".join(part for part in (answer.domain, *answer.files) if part)
    return text.append(f"  {what}", "not bold not reverse dim").append(f"\n{below}", "not bold not reverse dim")


def meaning_of(found: PlanMap, view: str) -> str:
    """What the cells of the map show."""
    from odyssey_tui.services.plan_cells import LEGEND, VIEWS

    return f"{VIEWS[view].title} · {LEGEND}"


def cell_text(facts: list[tuple[str, str]], width: int) -> Text:
    """A cell's facts: side by side where there is room, else one a line."""
    text = Text()
    beside = 80 <= width < 110
    for place, (name, value) in enumerate(facts):
        text.append(f"{name} ", "dim").append(value)
        last = place == len(facts) - 1
        text.append("" if last else "\n" if not beside or place % 2 else "   ")
    return text
