"""Runs that would tell most, as a list to choose from; the one chosen is queued after asking, or opened where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.confirm import ConfirmScreen

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen
    from odyssey_tui.services.next_runs import NextRuns
    from odyssey_tui.services.plan_queue import Queueable, Wanted

SHOWN_RUNS = 8
"""Next runs on offer."""


def offer_runs(screen: OdysseyScreen, runs: NextRuns, experiment: str | None) -> None:
    """List them; Enter on one queues it."""
    from odyssey_tui.services.next_runs import tell_run, wanted

    if not runs.runs:
        screen.notify("no run is expected to narrow these forecasts", timeout=5)
        return

    def chosen(index: int | None) -> None:
        if index is not None:
            find_run(screen, wanted(runs, runs.runs[index]), experiment)

    of = f"ρ {runs.replay_ratio:.3g}, ATPP {runs.atpp:.3g} of {runs.model}, P {runs.ptpp:.3g}"
    title = f"Next runs for {of}, by fall of variance per {runs.per}"
    screen.app.push_screen(ChooseScreen(title, [tell_run(run) for run in runs.runs]), chosen)


def find_run(screen: OdysseyScreen, wanted: Wanted, experiment: str | None) -> None:
    """Look for the run, then ask or open it."""
    from odyssey_tui.services.plan_queue import find_run as find

    workspace = screen.odyssey.workspace
    screen.perform(lambda: find(workspace, experiment, wanted), lambda found: _ask_queue(screen, found))


def _ask_queue(screen: OdysseyScreen, found: Queueable) -> None:
    from odyssey_tui.screens.run import RunScreen
    from odyssey_tui.services.plan_queue import launch, tell_cost

    if found.existing:
        screen.notify(f"{found.name} is there already: {found.state}", timeout=4, markup=False)
        screen.app.push_screen(RunScreen(found.run_id))
        return

    def answer(yes: bool | None) -> None:
        if yes:
            screen.perform(lambda: launch(screen.odyssey.workspace, found), told)

    def told(count: int) -> None:
        screen.notify(f"{count} {'run' if count == 1 else 'runs'} queued", timeout=4)
        screen.expect_change()

    screen.app.push_screen(ConfirmScreen("Queue", tell_cost(found)), answer)
