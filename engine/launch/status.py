"""``scheduler/scheduler.json``: who the scheduler is, what its slots do, how far the queue is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from engine.launch.process import Identity
from store.files import read_json, write_json
from store.workspace import Workspace


@dataclass(frozen=True)
class SlotStatus:
    """One slot; ``run_id`` is empty while it has nothing to do."""

    name: str
    gpu: str | None
    run_id: str = ""
    attempt: int = 0
    busy: str = ""
    """Who else uses its GPU, in words; no run is started on it meanwhile."""


@dataclass(frozen=True)
class Status:
    """The scheduler's own account of itself."""

    identity: Identity
    slots: tuple[SlotStatus, ...] = ()
    queued: tuple[str, ...] = ()
    """In the order they will start, as far as their needs allow."""
    held: tuple[str, ...] = ()
    finished: int = 0
    """Runs of the experiments in the queue that are done."""
    total: int = 0
    share: float = 0.0
    """Part of the expected work of those experiments that is done, 0 to 1."""
    eta_s: float | None = None
    """Seconds until the queue is empty."""
    updated: float = 0.0
    """Unix seconds of ``share`` and ``eta_s``."""
    silence: str = ""
    """Why the cluster that executes runs does not answer, in words; empty while it does."""


def write_status(workspace: Workspace, status: Status) -> None:
    write_json(_path(workspace), asdict(status))


def read_status(workspace: Workspace) -> Status | None:
    """The last account of a scheduler of this workspace, alive or not; None before the first."""
    try:
        value = read_json(_path(workspace))
    except FileNotFoundError:
        return None
    value["identity"] = Identity(**value["identity"])
    value["slots"] = tuple(SlotStatus(**slot) for slot in value["slots"])
    value["queued"], value["held"] = tuple(value["queued"]), tuple(value["held"])
    return Status(**value)


def scheduler_alive(workspace: Workspace) -> bool:
    """Whether the scheduler that spoke last still runs."""
    status = read_status(workspace)
    return status is not None and status.identity.alive()


def _path(workspace: Workspace) -> Path:
    return workspace.scheduler / "scheduler.json"


def pause_reason(workspace: Workspace) -> str | None:
    """Why the queue is paused; None when it is not."""
    try:
        return str(read_json(workspace.queue / "paused")["reason"])
    except FileNotFoundError:
        return None
