"""What a plan takes, in sentences: the run under the cursor, all of them, and what laws could be told from its grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message
from textual.widgets import Static

from odyssey_tui.services.plan_words import details, run_line

if TYPE_CHECKING:
    from engine.plan.plan import Plan
    from odyssey_tui.services.composition import Composition


class PlanDetails(Static):
    """Laws are judged in a thread, one plan at a time; until that is done nothing is said of them."""

    @dataclass
    class Judged(Message):
        """What the laws of a plan could be told from its grid."""

        plan: Plan
        lines: tuple[str, ...]

    def __init__(self, **options: str) -> None:
        super().__init__("", markup=False, **options)
        self._composition: Composition | None = None
        self._current = ""
        self._calibrated = False
        self._judging: Plan | None = None
        self._judged: tuple[Plan | None, tuple[str, ...]] = (None, ())

    def show(self, composition: Composition, *, calibrated: bool) -> None:
        """Another plan."""
        self._composition, self._calibrated = composition, calibrated
        self._draw()
        self._judge()

    def point_at(self, run_id: str | None) -> None:
        """Another run is under the cursor."""
        self._current = run_id or ""
        self._draw()

    def _draw(self) -> None:
        self.update("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """All of it, whether there is room or not."""
        if self._composition is None:
            return []
        current = next((run for run in self._composition.runs if run.run_id == self._current), None)
        lines = [run_line(current)] if current is not None else []
        lines += details(self._composition, calibrated=self._calibrated)
        if self._judged[0] is self._grid:
            return [*lines, *self._judged[1]]
        return [*lines, "laws: what the grid could tell of them is being worked out …"]

    @property
    def _grid(self) -> Plan | None:
        """What laws would be fitted to: the whole experiment, though one block of it be launched."""
        plan = self._composition.plan if self._composition is not None else None
        return plan.whole or plan if plan is not None else None

    def _judge(self) -> None:
        plan = self._grid
        if plan is None or self._judging is not None or self._judged[0] is plan:
            return
        self._judging = plan
        self.run_worker(partial(self._work, plan), group="laws", thread=True, exit_on_error=False)

    def _work(self, plan: Plan) -> None:
        try:
            from odyssey_tui.services.design import tell_plan

            lines = tuple(tell_plan(plan))
        except Exception as error:
            lines = (f"laws: what the grid could tell was not found out: {error}",)
        self.post_message(self.Judged(plan, lines))

    @on(Judged)
    def take(self, message: Judged) -> None:
        """Say it, unless the plan is another one by now."""
        message.stop()
        self._judging, self._judged = None, (message.plan, message.lines)
        self._draw()
        self._judge()
