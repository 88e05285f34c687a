"""Screen 7: a fitted law beside what was measured, how well every law predicts, and what to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, OdysseyScreen, following
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.score_rows import score_text
from store.errors import OdysseyError

if TYPE_CHECKING:
    from odyssey_tui.services.forecast import Axis, Forecast
    from odyssey_tui.services.plan import Answer


class Wanted(NamedTuple):
    """What to draw; None leaves the choice to the service."""

    form: str | None = None
    role: str = "target"
    x: Axis = "adapt_tokens"
    size: str | None = None
    replay_ratio: float | None = None
    anchors: bool = False


class Request(NamedTuple):
    """``known``: what is on screen, when only the drawing changes and the plan does not."""

    wanted: Wanted
    known: Snapshot | None


class Snapshot(NamedTuple):
    """The forecast, and the plan with the default limits; ``refusal`` says why there is no plan."""

    forecast: Forecast
    plan: Answer | None
    refusal: str


class ForecastScreen(OdysseyScreen):
    """Curves per PTPP with bands, scores of all laws, what the data leave open, and the plan."""

    SCOPE = "forecast"
    CSS_PATH = "forecast.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "forecast")]

    def __init__(self) -> None:
        super().__init__()
        self._wanted = Wanted()
        self._found: Forecast | None = None
        self._snapshot: Snapshot | None = None
        self._redrawing = False

    def compose_body(self) -> ComposeResult:
        yield Chart(empty=READING, id="forecast")
        with VerticalScroll(id="words"):
            yield Static("", id="scores", markup=False)
            yield Static("", id="stale", markup=False)
            yield Static("", id="plan", markup=False)
            yield Static("", id="law", markup=False)
            yield Static("", id="facts", markup=False)

    def on_mount(self) -> None:
        self.query_one("#words", VerticalScroll).focus()

    def on_resize(self) -> None:
        if self._found is not None:
            self._draw_scores(self._found)

    def request(self) -> Request:
        known, self._redrawing = (self._snapshot if self._redrawing else None), False
        return Request(self._wanted, known)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.forecast import forecast
        from odyssey_tui.services.plan import cheapest

        workspace = self.odyssey.workspace
        found = forecast(workspace, **request.wanted._asdict())
        if request.known is not None:
            return request.known._replace(forecast=found)
        try:
            return Snapshot(found, cheapest(workspace), "")
        except OdysseyError as refusal:
            return Snapshot(found, None, f"{refusal.message} {refusal.hint}")

    def show(self, snapshot: Snapshot) -> None:
        from odyssey_tui.services.forecast_figure import draw_forecast

        found, before = snapshot.forecast, self._found
        self._found, self._snapshot = found, snapshot
        self.set_class(not found.scores, "-empty")
        empty = (
            f"{found.reason}\n\n{found.hint}\n\n{WHAT_TO_PRESS}"
            if not found.scores
            else f"{found.reason}\n{found.hint}"
        )
        same = before is not None and (before.form, before.role, before.x) == (found.form, found.role, found.x)
        self.query_one(Chart).show(draw_forecast(found) if found.tracks else None, empty=empty, keep_view=same)
        if not found.scores:
            return
        self._draw_law(found)
        self._draw_scores(found)
        stale = self.query_one("#stale", Static)
        stale.update(found.stale)
        stale.display = bool(found.stale)
        self.query_one("#plan", Static).update(plan_text(snapshot.plan, snapshot.refusal))
        self.query_one("#facts", Static).update(facts_text(found))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        found = self._found
        counts = {
            "form": len(found.choices.forms) if found is not None else 0,
            "role": len(found.choices.roles) if found is not None else 0,
            "size": len(found.choices.sizes) if found is not None else 0,
            "replay": len(found.choices.replays) if found is not None else 0,
            "anchors": 2 if found is not None and found.choices.has_anchors else 0,
            "x_axis": 2 if found is not None and found.scores else 0,
        }
        return counts[action] > 1 if action in counts else True

    def action_form(self) -> None:
        """The next law."""
        found = self._found
        if found is not None:
            self._look(form=following(found.choices.forms, found.form))

    def action_anchors(self) -> None:
        """The same law fitted with anchors at the held-out PTPP, or without."""
        found = self._found
        if found is not None:
            self._look(form=found.form, anchors=not found.anchors)

    def action_role(self) -> None:
        """The loss on the target text, or on the base text; its own best law."""
        found = self._found
        if found is not None:
            self._look(role=following(found.choices.roles, found.role), form=None)

    def action_x_axis(self) -> None:
        """The next x axis."""
        from odyssey_tui.services.forecast import AXES

        self._look(x=following(tuple(AXES), self._wanted.x))

    def action_size(self) -> None:
        """The next model size."""
        found = self._found
        if found is None or found.at is None:
            return
        labels = tuple(label for _, label in found.choices.sizes)
        current = next((label for n, label in found.choices.sizes if n == found.at.n_params), labels[0])
        self._look(size=following(labels, current))

    def action_replay(self) -> None:
        """The next replay ratio."""
        found = self._found
        if found is None or found.at is None:
            return
        ratios = found.choices.replays
        self._look(replay_ratio=following(ratios, min(ratios, key=lambda known: abs(known - found.at.replay_ratio))))

    def _look(self, **changes: Any) -> None:
        self._wanted = self._wanted._replace(**changes)
        self._redrawing = True
        self.reload()

    def _draw_law(self, found: Forecast) -> None:
        from odyssey_tui.services.forecast_figure import title_of

        line = Text(f"{title_of(found)}  ", style="bold")
        line.append(f"L = {found.formula}\n", style="not bold")
        line.append(found.source, style="not bold dim")
        self.query_one("#law", Static).update(line)

    def _draw_scores(self, found: Forecast) -> None:
        pane = self.query_one("#scores", Static)
        width = (self.size.width if not self.has_class("-wide") else 62) - 4
        pane.update(score_text(found.scores, found.role, width))


def plan_text(plan: Answer | None, refusal: str) -> Text:
    """The plan with the default limits, or why there is none."""
    from odyssey_tui.services.plan import tell_answer

    text = Text("Plan\n", style="bold")
    if plan is None:
        return text.append(refusal, style="not bold dim")
    first, *rest = tell_answer(plan)
    text.append(first, style="not bold")
    return text.append("".join(f"\n{sentence}" for sentence in rest), style="not bold dim")


def facts_text(found: Forecast) -> Text:
    """What the fit rests on, and what it leaves open, one parameter a line."""
    from odyssey_tui.services.fit_words import open_lines

    text = Text("The fit", style="bold")
    text.append("".join(f"\n· {sentence}" for sentence in (*found.warnings, *found.facts)), style="not bold")
    head, *lines = open_lines(found.open) or ("",)
    if head:
        text.append(f"\n· {head}", style="not bold")
    return text.append("".join(f"\n{line}" for line in lines), style="not bold dim")
