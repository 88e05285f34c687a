"""Pauses: nothing is started while the queue is paused, nothing of an experiment while that is.

Written by the scheduler alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from store.errors import DataError
from store.files import read_json, write_json
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)
ASKED_FOR = "asked for"


@dataclass(frozen=True)
class Pause:
    """Why and since when (unix seconds)."""

    reason: str
    since: float


class Pauses:
    """``queue/paused`` and ``queue/paused_experiments.json``."""

    def __init__(self, workspace: Workspace) -> None:
        self._queue = workspace.queue / "paused"
        self._workspace = workspace
        self.experiments = dict(read_paused_experiments(workspace))

    @property
    def queue(self) -> bool:
        """Whether the whole queue is paused."""
        return self._queue.exists()

    def pause(self, reason: str) -> None:
        """Pause the queue."""
        _LOG.warning("the queue is paused: %s", reason)
        write_json(self._queue, asdict(Pause(reason, time.time())))

    def resume(self) -> None:
        """Let the queue go on; experiments that are paused stay so."""
        self._queue.unlink(missing_ok=True)

    def pause_experiment(self, name: str, reason: str) -> None:
        """Pause one experiment."""
        _LOG.warning("experiment %s is paused: %s", name, reason)
        self.experiments[name] = Pause(reason, time.time())
        self._write()

    def resume_experiments(self, names: Iterable[str]) -> None:
        """Let experiments go on."""
        for name in names:
            self.experiments.pop(name, None)
        self._write()

    def _write(self) -> None:
        content = {name: asdict(pause) for name, pause in self.experiments.items()}
        write_json(_path(self._workspace), content)


def read_pause(workspace: Workspace) -> Pause | None:
    """The pause of the whole queue; None while there is none, or its file says nothing."""
    try:
        content = read_json(workspace.queue / "paused")
        return Pause(str(content["reason"]), float(content["since"]))
    except (FileNotFoundError, DataError, TypeError, KeyError, ValueError):
        return None


def read_paused_experiments(workspace: Workspace) -> Mapping[str, Pause]:
    """Paused experiments by name; none where the file is damaged, which the log says."""
    try:
        content = read_json(_path(workspace))
        return {str(name): Pause(str(value["reason"]), float(value["since"])) for name, value in content.items()}
    except FileNotFoundError:
        return {}
    except (DataError, TypeError, KeyError, ValueError, AttributeError) as error:
        _LOG.warning("%s cannot be read, so no experiment is paused: %s", _path(workspace), error)
        return {}


def _path(workspace: Workspace) -> Path:
    return workspace.queue / "paused_experiments.json"
