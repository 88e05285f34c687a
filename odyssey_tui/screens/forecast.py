"""Screen 7: a fitted law beside what was measured, and how well every law predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, OdysseyScreen, following
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.score_rows import score_text

if TYPE_CHECKING:
    from odyssey_tui.services.fitting import Fitting
    from odyssey_tui.services.forecast import Forecast
    from odyssey_tui.services.forecast_curves import Axis
    from odyssey_tui.services.forecast_figure import View


VIEWS: tuple[View, ...] = ("forecast", "residuals", "calibration")
"""In the order of the key that changes them."""
WIDE_PANE = 62
"""Columns of words beside the chart."""


class Wanted(NamedTuple):
    """What to draw; None leaves the choice to the service."""

    form: str | None = None
    role: str = "target"
    domain: str | None = None
    split: str | None = None
    x: Axis = "adapt_tokens"
    size: str | None = None
    replay_ratio: float | None = None
    atpp: float | None = None
    anchors: int = 0


class ForecastScreen(OdysseyScreen):
    """Curves per PTPP with bands, scores of all laws, and what the data leave open."""

    SCOPE = "forecast"
    CSS_PATH = "forecast.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "forecast")]

    def __init__(self) -> None:
        super().__init__()
        self._wanted = Wanted()
        self._found: Forecast | None = None
        self._view: View = "forecast"

    def compose_body(self) -> ComposeResult:
        yield Chart(empty=READING, id="forecast")
        with VerticalScroll(id="words"):
            yield Static("", id="basis", markup=False)
            yield Static("", id="stale", markup=False)
            yield Static("", id="residuals", markup=False)
            yield Static("", id="scores", markup=False)
            yield Static("", id="law", markup=False)
            yield Static("", id="facts", markup=False)

    def on_mount(self) -> None:
        self.query_one("#words", VerticalScroll).focus()

    def on_resize(self) -> None:
        if self._found is not None:
            self._draw_words(self._found)

    def request(self) -> Wanted:
        return self._wanted

    def load(self, request: Wanted) -> Forecast:
        from odyssey_tui.services.forecast import forecast

        return forecast(self.odyssey.workspace, **request._asdict())

    def show(self, snapshot: Forecast) -> None:
        found, before = snapshot, self._found
        self._found = found
        self.set_class(not found.scores, "-empty")
        same = before is not None and (before.form, before.role, before.x) == (found.form, found.role, found.x)
        self._draw_chart(keep_view=same)
        if not found.scores:
            return
        self._draw_words(found)
        stale = self.query_one("#stale", Static)
        stale.update(found.stale)
        stale.display = bool(found.stale)
        self.refresh_bindings()

    def _draw_chart(self, *, keep_view: bool) -> None:
        from odyssey_tui.services.forecast_figure import draw_view

        found = self._found
        if found is None:
            return
        empty = (
            f"{found.reason}\n{found.hint}" if found.scores else f"{found.reason}\n\n{found.hint}\n\n{WHAT_TO_PRESS}"
        )
        self.query_one(Chart).show(draw_view(found, self._view), empty=empty, keep_view=keep_view)

    def _draw_words(self, found: Forecast) -> None:
        from odyssey_tui.widgets.forecast_text import basis_text, facts_text, law_text, residual_text

        width = (self.size.width if not self.has_class("-wide") else WIDE_PANE) - 4
        self.query_one("#basis", Static).update(basis_text(found))
        self.query_one("#residuals", Static).update(residual_text(found, width))
        self.query_one("#scores", Static).update(score_text(found.scores, found.role, width))
        self.query_one("#law", Static).update(law_text(found, width))
        self.query_one("#facts", Static).update(facts_text(found))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        found = self._found
        if found is None:
            return action in ("reload", "matrix")
        choices = found.choices
        counts = {
            "form": len(choices.forms),
            "role": len(choices.roles),
            "split": len(choices.splits),
            "domain": len(choices.domains),
            "size": len(choices.sizes),
            "replay": len(choices.replays),
            "budget": len(choices.atpps) if found.x in ("replay_ratio", "n_params", "ptpp") else 0,
            "anchors": len(choices.anchors),
            "x_axis": 2 * len(choices.forms),
            "residuals": 2 * len(found.residuals),
            "export": 2 * len(found.scores),
            "next": 2 * len(found.ptpps) if found.at is not None else 0,
        }
        return counts[action] > 1 if action in counts else True

    def action_form(self) -> None:
        """The next law."""
        found = self._found
        if found is not None:
            self._look(form=following(found.choices.forms, found.form), anchors=found.anchors)

    def action_anchors(self) -> None:
        """The same law fitted with the next number of anchors at the held-out PTPP, or without."""
        found = self._found
        if found is not None and found.choices.anchors:
            self._look(form=found.form, anchors=following(found.choices.anchors, found.anchors))

    def action_split(self) -> None:
        """The next fit run of the domain, by itself chosen in everything else."""
        found = self._found
        if found is not None and found.choices.splits:
            runs = tuple(split.run_id for split in found.choices.splits)
            self._look(split=following(runs, found.split), form=None, anchors=0)

    def action_domain(self) -> None:
        """Another domain, its newest fit."""
        found = self._found
        if found is not None and found.choices.domains:
            domain = following(found.choices.domains, found.domain)
            self._look(domain=domain, split=None, form=None, anchors=0, size=None, replay_ratio=None, atpp=None)

    def action_residuals(self) -> None:
        """The errors, measured against predicted losses, or the curves again."""
        self._view = following(VIEWS, self._view)
        self.set_class(self._view == "residuals", "-errors")
        self._draw_chart(keep_view=False)

    def action_export(self) -> None:
        """Figure, table or everything as a file."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.forecast_record import exportable

        if self._found is not None:
            ask_export(self, exportable(self._found, self._view))

    def action_card(self) -> None:
        """How to make the fit that is shown again."""
        from odyssey_tui.screens.exporting import ask_card

        if self._found is not None and self._found.split:
            ask_card(self, self._found.split)

    def action_fit(self) -> None:
        """Queue another fit of the domain."""
        from odyssey_tui.screens.prompt import PromptScreen
        from odyssey_tui.services.fitting import describe_options, fit_as_written

        found = self._found
        if found is None:
            return
        domain = found.domain or None

        def answer(text: str | None) -> None:
            if text is not None:
                self.perform(lambda: fit_as_written(self.odyssey.workspace, text, domain), self._tell_fit)

        self.app.push_screen(PromptScreen("Fit again", describe_options(), value=""), answer)

    def _tell_fit(self, fitting: Fitting) -> None:
        verb = "queued" if fitting.queued else f"is there already ({fitting.state})"
        self.notify(f"{fitting.run_id} {verb}", timeout=5, markup=False)
        self.expect_change()

    def action_next(self) -> None:
        """Runs that would tell most about the size, mix and budget shown, at the highest PTPP; Enter queues one."""
        from odyssey_tui.screens.next_runs import SHOWN_RUNS, offer_runs
        from odyssey_tui.services.next_runs import next_runs_at

        found = self._found
        if found is None or found.at is None:
            return
        at, workspace = found.at, self.odyssey.workspace
        asked = (found.domain, at.n_params, max(found.ptpps), at.replay_ratio, at.atpp)
        self.perform(
            lambda: next_runs_at(workspace, *asked, SHOWN_RUNS),
            lambda told: offer_runs(self, *told),
        )

    def action_role(self) -> None:
        """The loss on the target text, or on the base text; its own best law."""
        found = self._found
        if found is not None:
            self._look(role=following(found.choices.roles, found.role), form=None, anchors=found.anchors)

    def action_x_axis(self) -> None:
        """The next x axis."""
        from odyssey_tui.services.forecast_curves import AXES

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

    def action_budget(self) -> None:
        """The next ATPP that is held fixed."""
        found = self._found
        if found is None or found.at is None:
            return
        atpps = found.choices.atpps
        self._look(atpp=following(atpps, min(atpps, key=lambda known: abs(known - found.at.atpp))))

    def _look(self, **changes: Any) -> None:
        self._wanted = self._wanted._replace(**changes)
        self.reload()
