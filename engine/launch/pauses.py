"""Pauses: the queue starts nothing while one lasts. Written by the scheduler alone."""

from __future__ import annotations

import time

from store.files import write_json
from store.workspace import Workspace


class Pauses:
    """The file ``queue/paused``."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.queue / "paused"

    @property
    def queue(self) -> bool:
        """Whether the whole queue is paused."""
        return self._path.exists()

    def pause(self, reason: str) -> None:
        write_json(self._path, {"reason": reason, "since": time.time()})

    def resume(self) -> None:
        self._path.unlink(missing_ok=True)
