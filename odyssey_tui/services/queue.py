"""Requests to the scheduler, and the queue as people see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.format import duration
from odyssey_tui.services.progress import Pulse, PulseReader
from store.errors import OdysseyError

if TYPE_CHECKING:
    from store.run_dir import RunDir
    from store.workspace import Workspace

WAITING = frozenset({"queued", "held"})
ENDED_EARLY = frozenset({"failed", "cancelled", "lost"})
ACTS_ON = {
    "cancel": frozenset({"queued", "held", "starting", "running", "stopping"}),
    "retry": ENDED_EARLY | {"held"},
}
"""The states in which a run can be asked for each of these."""


def split_by_state(workspace: Workspace, action: str, run_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The runs that can be asked for ``action``, and a sentence for each of the others; each run once.

    Raises OdysseyError when there is none to ask.
    """
    from engine.launch.claims import settle_abandoned

    settle_abandoned(workspace)
    able, others = [], []
    for run_id in dict.fromkeys(run_ids):
        run = workspace.run(run_id)
        state = "imported" if run.is_imported() else run.state().state
        if state in ACTS_ON[action]:
            able.append(run_id)
        else:
            others.append(f"{run_id} is {state}: nothing to {action}")
    if not able:
        raise OdysseyError("; ".join(others), "`odyssey runs` shows what each run does.")
    return able, others


def has_ended(workspace: Workspace, run: RunDir) -> bool:
    """Whether a run has ended and nobody has asked for it to be retried since."""
    from engine.launch.requests import list_retrying

    return run.run_id not in list_retrying(workspace) and run.state().finished


def cancel_runs(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask for runs to be cancelled; a scheduler is started if none runs."""
    _ask("cancel", workspace, run_ids)


def retry_runs(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask for failed, cancelled or lost runs to be queued again."""
    _ask("retry", workspace, run_ids)


def pause_queue(workspace: Workspace) -> None:
    """Start no further runs."""
    _ask("pause", workspace, ())


def resume_queue(workspace: Workspace) -> None:
    """Start queued runs again."""
    _ask("resume", workspace, ())


def _ask(action: str, workspace: Workspace, run_ids: Sequence[str]) -> None:
    from engine.launch import requests
    from engine.launch.scheduler import ensure_running

    getattr(requests, action)(workspace, list(run_ids))
    ensure_running(workspace)


@dataclass(frozen=True)
class QueueEntry:
    """A run that is not finished."""

    run_id: str
    name: str
    state: str
    share: float | None
    eta_s: float | None
    reason: str


@dataclass(frozen=True)
class QueueView:
    """The unfinished runs and the state of the queue."""

    entries: tuple[QueueEntry, ...]
    pulse: Pulse

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the list should know besides it."""
        pulse, notes = self.pulse, []
        if pulse.active:
            left = f", {duration(pulse.eta_s)} left" if pulse.eta_s is not None else ""
            notes.append(f"{pulse.share:.0%} done{left}")
        if pulse.paused:
            notes.append(f"paused: {pulse.paused} ('odyssey resume' goes on)")
        if self.entries and not pulse.works:
            notes.append("no scheduler runs: 'odyssey resume' starts one")
        return tuple(notes)


def read_queue(workspace: Workspace) -> QueueView:
    """The unfinished runs: what runs first, then in the order in which the rest will start."""
    from engine.launch.queue_state import queue_state

    order = {run_id: place for place, run_id in enumerate(queue_state(workspace).queued)}
    entries = []
    for run_id in workspace.run_ids():
        run = workspace.run(run_id)
        state = run.state()
        if not state.finished:
            share = min(1.0, state.done / state.total) if state.total else None
            entries.append(QueueEntry(run_id, run.name(), state.state, share, state.eta_s, state.reason))
    entries.sort(key=lambda entry: (entry.state in WAITING, order.get(entry.run_id, len(order)), entry.run_id))
    return QueueView(tuple(entries), PulseReader(workspace).read())
