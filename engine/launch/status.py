"""``scheduler/scheduler.json``: who the scheduler is, what its slots do, how far the queue is."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.launch.process import Identity
from engine.launch.wake import Sleeper, wake
from store import heartbeat
from store.errors import DataError
from store.files import read_json, write_json
from store.records import parse_record
from store.workspace import Workspace

ELSEWHERE_S = 60.0
"""A scheduler of another machine that has shown no sign of life for so long may be replaced."""


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
    write_json(_path(workspace), {**asdict(status), "workspace": os.path.realpath(workspace.root)})


def wake_scheduler(workspace: Workspace) -> None:
    """Have the scheduler, which sleeps at its status, look now."""
    wake(_path(workspace))


def sleep_at_status(workspace: Workspace) -> Sleeper:
    """For the scheduler: sleep until ``wake_scheduler``."""
    return Sleeper(_path(workspace))


def beat(workspace: Workspace) -> None:
    """Say, for machines that cannot see this process, that the scheduler lives."""
    heartbeat.beat(_path(workspace))


def leave(workspace: Workspace) -> None:
    """Say that the scheduler has left."""
    heartbeat.stop(_path(workspace))


def read_status(workspace: Workspace) -> Status | None:
    """The last account of a scheduler of this workspace, alive or not; None before the first, or where it is damaged.

    It is written anew every few seconds, so a damaged one is nobody's; that of a workspace of which this one is a copy
    is not this one's.
    """
    path = _path(workspace)
    try:
        value = read_json(path)
        status = parse_record(Status, value, path, "It is written anew by the next scheduler.")
    except (FileNotFoundError, NotADirectoryError, DataError):
        return None
    return status if value.get("workspace") in (None, os.path.realpath(workspace.root)) else None


def scheduler_alive(workspace: Workspace) -> bool:
    """Whether the scheduler that spoke last still runs, here or on another machine."""
    status = read_status(workspace)
    return status is not None and (status.identity.alive() or works_elsewhere(workspace, status))


def works_elsewhere(workspace: Workspace, status: Status | None) -> bool:
    """Whether a scheduler on another machine has this workspace: it has shown within ``ELSEWHERE_S`` that it lives."""
    if status is None or not status.identity.elsewhere:
        return False
    silent_s = heartbeat.age_s(_path(workspace))
    return silent_s is not None and silent_s < ELSEWHERE_S


def _path(workspace: Workspace) -> Path:
    return workspace.scheduler / "scheduler.json"


def pause_reason(workspace: Workspace) -> str | None:
    """Why the queue is paused; None when it is not."""
    try:
        return str(read_json(workspace.queue / "paused")["reason"])
    except FileNotFoundError:
        return None
