"""Claims: who executes a run outside the queue. ``queue/claims/RUN_ID`` is locked by the command and its worker.

The lock is an flock that the worker inherits, so a claim lasts exactly as long as anybody works on the run. Whoever
wants a run looks at the other's sign after setting his own: a command claims, then looks for a ticket; the scheduler
finds a ticket, then looks for a claim. At most one of them goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from engine.launch.entry import say
from store.files import cannot_write
from store.workspace import Workspace

ABANDONED = "the command that ran it was killed"
ABANDONED_HINT = "Give the same command again, or `odyssey retry` the run: it goes on from its last checkpoint."
LOOK_S = 0.5
"""Whoever looks whether a claim is held locks it for an instant; a claimer outlasts that."""
_STOP = ".stop"
_ACTIVE = frozenset({"starting", "running", "stopping"})


@dataclass(frozen=True)
class Claim:
    """A claim that is held. ``descriptor`` carries the lock; a process that inherits it holds the claim too."""

    path: Path
    descriptor: int

    def stop_asked(self) -> bool:
        """Whether the run was cancelled by a request to the scheduler."""
        return _stop_file(self.path).exists()

    def release(self) -> None:
        """Give the run back."""
        _stop_file(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def leave(self) -> None:
        """Hold it no longer, but leave its file: the run's end could not be written, and whoever looks next does it."""
        os.close(self.descriptor)


def take_claim(workspace: Workspace, run_id: str) -> Claim | None:
    """Claim a run, or None while another command has it. ``WorkspaceError`` when the workspace cannot be written."""
    path = _folder(workspace) / run_id
    deadline = time.monotonic() + LOOK_S
    while True:
        try:
            path.parent.mkdir(exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise cannot_write(path, error) from error
        if _lock(descriptor, fcntl.LOCK_EX):
            if _is_at(path, descriptor):
                return Claim(path, descriptor)
            os.close(descriptor)  # released between opening and locking: the name belongs to no file now
            continue
        os.close(descriptor)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)


def list_claimed(workspace: Workspace) -> frozenset[str]:
    """Runs that a command executes now."""
    return frozenset(name for name in _names(workspace) if _is_held(_folder(workspace) / name))


def ask_to_stop(workspace: Workspace, run_id: str) -> None:
    """Have the command that executes a run stop it at its next safe point."""
    _stop_file(_folder(workspace) / run_id).touch()


def settle_abandoned(workspace: Workspace) -> None:
    """Say of every run whose command and worker were both killed that it is lost, and drop the claim."""
    for name in _names(workspace):
        path = _folder(workspace) / name
        if _is_held(path):
            continue
        claim = take_claim(workspace, name)
        if claim is not None:
            close_abandoned(workspace, name)
            claim.release()


def close_abandoned(workspace: Workspace, run_id: str) -> None:
    """Say that a claimed run is lost if its files call it active: its former holder cannot say so any more."""
    run = workspace.run(run_id)
    if run.exists() and (state := run.state()).state in _ACTIVE:
        say(run, "lost", attempt=state.attempt, reason=ABANDONED, hint=ABANDONED_HINT)


def _folder(workspace: Workspace) -> Path:
    return workspace.queue / "claims"


def _stop_file(path: Path) -> Path:
    return path.with_name(path.name + _STOP)


def _names(workspace: Workspace) -> list[str]:
    try:
        entries = list(os.scandir(_folder(workspace)))
    except FileNotFoundError:
        return []
    # A folder or a link is nobody's claim: it cannot be locked by whoever works on a run.
    return sorted(e.name for e in entries if e.is_file(follow_symlinks=False) and not e.name.endswith(_STOP))


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return True
    return False


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
