"""What a plan takes, in sentences: the run under the cursor, all of them, and what laws could be told from its grid."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message
from textual.widgets import Static

from odyssey_tui.services.plan_words import details, run_line

if TYPE_CHECKING:
    from engine.plan.plan import Plan
    from odyssey_tui.services.composition import Composition


QUIET_S = 0.4
"""Laws are judged when nothing was typed for so long: it takes a third of a second of the processor."""


class PlanDetails(Static):
    """Laws are judged in a thread, one plan at a time; until that is done nothing is said of them."""

    @dataclass
    class Judged(Message):
        """What the laws of a plan could be told from its grid."""

        plan: Plan
        briefly: tuple[str, ...] = ()
        lines: tuple[str, ...] = ()
        given_up: bool = False
        """Another plan came before it was begun."""

    def __init__(self, **options: str) -> None:
        super().__init__("", markup=False, **options)
        self._composition: Composition | None = None
        self._current = ""
        self._calibrated = False
        self._judging: Plan | None = None
        self._newer = threading.Event()
        self._judged: PlanDetails.Judged | None = None

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
        judged = self._judged if self._judged is not None and self._judged.plan is self._grid else None
        self.update("\n".join([*self._run, *(judged.briefly if judged else ()), *self._whole]))

    @property
    def lines(self) -> list[str]:
        """All of it, whether there is room or not."""
        judged = self._judged
        if judged is not None and judged.plan is self._grid:
            return [*self._run, *self._whole, *judged.lines]
        return [*self._run, *self._whole, "laws: what the grid could tell of them is being worked out …"]

    @property
    def _run(self) -> list[str]:
        runs = self._composition.runs if self._composition is not None else ()
        return [run_line(run) for run in runs if run.run_id == self._current]

    @property
    def _whole(self) -> list[str]:
        return list(details(self._composition, calibrated=self._calibrated)) if self._composition is not None else []

    @property
    def _grid(self) -> Plan | None:
        """What laws would be fitted to: the whole experiment, though one block of it be launched."""
        plan = self._composition.plan if self._composition is not None else None
        return plan.whole or plan if plan is not None else None

    def _judge(self) -> None:
        plan = self._grid
        judged = self._judged.plan if self._judged is not None else None
        if self._judging is not None and self._judging is not plan:
            self._newer.set()
        if plan is None or self._judging is not None or judged is plan:
            return
        self._judging = plan
        self._newer.clear()
        # No partial: Textual writes down what a worker is, and a plan is long.
        self.run_worker(lambda: self._work(plan), group="laws", thread=True, exit_on_error=False)

    def _work(self, plan: Plan) -> None:
        if self._newer.wait(QUIET_S):
            self.post_message(self.Judged(plan, given_up=True))
            return
        try:
            from odyssey_tui.services.design import judge_plan, tell_designs

            designs = judge_plan(plan, only_asked=True)
            judged = self.Judged(plan, tuple(tell_designs(designs, briefly=True)), tuple(tell_designs(designs)))
        except Exception as error:
            told = (f"laws: what the grid could tell was not found out: {error}",)
            judged = self.Judged(plan, told, told)
        self.post_message(judged)

    @on(Judged)
    def take(self, message: Judged) -> None:
        """Say it, unless the plan is another one by now."""
        message.stop()
        self._judging = None
        if not message.given_up:
            self._judged = message
        self._draw()
        self._judge()
