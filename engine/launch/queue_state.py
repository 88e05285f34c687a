"""The queue as clients see it: files only, no database, cheap enough for every second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.launch.status import Status, pause_reason, read_status, works_elsewhere
from engine.launch.tickets import read_tickets, ticketed
from store.run_state import RunState
from store.workspace import Workspace


@dataclass(frozen=True)
class SlotState:
    """One slot and the run on it."""

    name: str
    gpu: str | None
    run_id: str
    """Empty while the slot is idle."""
    run: RunState | None
    busy: str = ""
    """Who else uses its GPU, in words; no run is started on it meanwhile."""


@dataclass(frozen=True)
class QueueState:
    """Everything about the queue at one moment."""

    scheduler_alive: bool
    scheduler_pid: int | None
    """None where there is none on this machine."""
    scheduler_host: str
    """The machine of a scheduler elsewhere; empty while there is none."""
    paused: str | None
    """Why the queue is paused; None when it is not."""
    slots: tuple[SlotState, ...]
    queued: tuple[str, ...]
    """Runs that wait, in the order they will start."""
    held: tuple[str, ...]
    finished: int
    total: int
    share: float
    """Part of the expected work that is done, 0 to 1."""
    eta_s: float | None
    """Seconds until the queue is empty; None when nothing works on it."""


def queue_state(workspace: Workspace, state_of: Callable[[str], RunState] | None = None) -> QueueState:
    """Look at the queue now. What the scheduler has not seen yet is listed after what it has.

    ``state_of`` tells the state of a run, where somebody remembers how far its journal was read.
    """
    state_of = state_of or (lambda run_id: workspace.run(run_id).state())
    status = read_status(workspace)
    away = status.identity.host if status is not None and works_elsewhere(workspace, status) else ""
    alive = status is not None and (bool(away) or status.identity.alive())
    paused = pause_reason(workspace)
    tickets = ticketed(workspace)
    slots = _slots(status, state_of) if status is not None and alive else ()
    running = {slot.run_id for slot in slots}
    seen = status.queued if status is not None else ()
    queued = [run_id for run_id in seen if run_id in tickets and run_id not in running]
    held = [run_id for run_id in (status.held if status is not None else ()) if run_id in tickets]
    shown = {*running, *queued, *held}
    fresh = sorted(read_tickets(workspace, tickets - shown), key=lambda ticket: ticket.order)
    return QueueState(
        scheduler_alive=alive,
        scheduler_pid=status.identity.pid if status is not None and alive and not away else None,
        scheduler_host=away,
        paused=paused,
        slots=slots,
        queued=(*queued, *(ticket.run_id for ticket in fresh)),
        held=tuple(held),
        finished=status.finished if status is not None else 0,
        total=max(status.total if status is not None else 0, len(tickets)),
        share=status.share if status is not None and tickets else float(not tickets),
        eta_s=status.eta_s if status is not None and alive and paused is None and tickets else None,
    )


def _slots(status: Status, state_of: Callable[[str], RunState]) -> tuple[SlotState, ...]:
    return tuple(
        SlotState(slot.name, slot.gpu, slot.run_id, state_of(slot.run_id) if slot.run_id else None, slot.busy)
        for slot in status.slots
    )
