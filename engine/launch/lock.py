"""``scheduler/lock``: whoever has it locked is the scheduler of the workspace."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from store.files import cannot_write
from store.workspace import Workspace


@dataclass
class Lock:
    """The lock, held: ``descriptor`` carries it, and it counts while ``path`` names the same file."""

    path: Path
    descriptor: int

    def keep(self) -> bool:
        """Whether it still is the workspace's lock. If its file was removed by hand, it is made and locked anew,
        unless somebody else was quicker."""
        if _is_at(self.path, self.descriptor):
            return True
        anew = _try(self.path)
        if anew is None:
            return False
        os.close(self.descriptor)
        self.descriptor = anew
        return True

    def release(self) -> None:
        os.close(self.descriptor)


def take_lock(workspace: Workspace, wait_s: float = 0.0) -> Lock | None:
    """The scheduler's lock, or None while another holds it. ``WorkspaceError`` when the workspace is not writable."""
    path = workspace.scheduler / "lock"
    deadline = time.monotonic() + wait_s
    while True:
        descriptor = _try(path)
        if descriptor is not None:
            return Lock(path, descriptor)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.02)


def _try(path: Path) -> int | None:
    """A descriptor of the file at ``path``, made if need be, that has the lock; None while another has it."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # removed between opening and locking: the name belongs to no file, or to another


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
