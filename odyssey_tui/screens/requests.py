"""Requests to the scheduler from a screen: asks where something would be lost, then leaves the request."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from odyssey_tui.screens.confirm import ConfirmScreen, TypedConfirmScreen
from odyssey_tui.services.queue import ENDED_EARLY

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen
    from odyssey_tui.services.runs import RunRow

LIVE = frozenset({"starting", "running", "stopping"})
RETRIABLE = ENDED_EARLY
FINISHED = RETRIABLE | {"done"}


def ask_cancel(screen: OdysseyScreen, runs: Sequence[tuple[str, str, str]]) -> None:
    """Cancel runs given as (run_id, name, state) after asking; a live one asks for the word ``cancel``."""
    from odyssey_tui.services.queue import cancel_runs

    names = list_names([name for _, name, _ in runs])
    live = sum(state in LIVE for _, _, state in runs)
    run_ids = [run_id for run_id, _, _ in runs]

    def answer(confirmed: bool | None) -> None:
        if confirmed:
            work = partial(cancel_runs, screen.odyssey.workspace, run_ids)
            _ask(screen, work, f"{_count(runs)} to be cancelled")

    if live:
        text = f"{_count(runs)}, {live} of them running now:\n{names}"
        screen.app.push_screen(TypedConfirmScreen("Cancel", text, "cancel"), answer)
    else:
        screen.app.push_screen(ConfirmScreen("Cancel", f"waiting, {_count(runs)}:\n{names}"), answer)


def retry_runs(screen: OdysseyScreen, run_ids: Sequence[str]) -> None:
    """Queue runs again."""
    from odyssey_tui.services.queue import retry_runs as retry

    _ask(screen, partial(retry, screen.odyssey.workspace, run_ids), f"{_count(run_ids)} to be queued again")


class Asked(NamedTuple):
    """A run to hold or let go."""

    run_id: str
    name: str
    state: str
    held_on_request: bool


def as_asked(row: RunRow) -> Asked:
    """A row of the store, whose reason says who holds the run."""
    from engine.launch.mailbox import HELD_ON_REQUEST

    return Asked(row.run_id, row.name, row.state, row.state == "held" and row.reason == HELD_ON_REQUEST)


def hold_or_release(screen: OdysseyScreen, runs: Sequence[Asked]) -> None:
    """Let go of runs that a person holds if that is all there is to do; else hold the others, asking for live ones."""
    from odyssey_tui.services.queue import hold_runs, release_runs

    workspace = screen.odyssey.workspace
    free = [run.run_id for run in runs if not run.held_on_request]
    if not free:
        run_ids = [run.run_id for run in runs]
        _ask(screen, partial(release_runs, workspace, run_ids), f"{_count(run_ids)} to be let go")
        return
    live = [run.name for run in runs if run.state in LIVE and run.run_id in free]
    work = partial(hold_runs, workspace, free)
    if not live:
        _ask(screen, work, f"{_count(free)} to be held")
        return

    def answer(confirmed: bool | None) -> None:
        if confirmed:
            _ask(screen, work, f"{_count(free)} to be held")

    text = f"{_count(live)} to stop at the next safe point, and to go on from there once let go:\n{list_names(live)}"
    screen.app.push_screen(ConfirmScreen("Hold", text), answer)


def move_runs(screen: OdysseyScreen, run_ids: Sequence[str], where: str) -> None:
    """Another place in the line: ``up``, ``down``, ``top`` or ``bottom``. Seen by the table itself."""
    from odyssey_tui.services.queue import move_runs as move

    _ask(screen, partial(move, screen.odyssey.workspace, run_ids, where), "")


def pause_or_resume(screen: OdysseyScreen, *, resume: bool) -> None:
    """The whole queue."""
    from odyssey_tui.services.queue import pause_queue, resume_queue

    work = partial(resume_queue if resume else pause_queue, screen.odyssey.workspace)
    _ask(screen, work, "the queue goes on" if resume else "no further run starts; those that run go on")


def pause_sweeps(screen: OdysseyScreen, names: Sequence[str], *, resume: bool) -> None:
    """All runs of experiments, those that are queued later included."""
    from odyssey_tui.services.queue import pause_experiments, resume_experiments

    work = partial(resume_experiments if resume else pause_experiments, screen.odyssey.workspace, names)
    _ask(screen, work, f"{', '.join(names)} {'goes on' if resume else 'is paused: no further run of it starts'}")


def list_names(names: Sequence[str], most: int = 6) -> str:
    """The first names, one a line, and how many more there are."""
    lines = [f"  {name}" for name in names[:most]]
    return "\n".join(lines + [f"  and {len(names) - most} more"] * (len(names) > most))


def _count(runs: Sized) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _ask(screen: OdysseyScreen, work: Callable[[], None], done: str) -> None:
    """Write a request in a thread; say so, and look soon."""

    def told(_: None) -> None:
        if done:
            screen.notify(done, timeout=3, markup=False)
        screen.expect_change()

    screen.perform(work, told)
