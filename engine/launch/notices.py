"""The command that a workspace's settings name (``on_finish``), called when an experiment has ended or something pauses
by itself.

What is to be told stands in ``scheduler/notices/NAME.open`` from the time it can come about; the shell that tells it
renames that to ``NAME.told`` first. So each ending is told once, by this scheduler or by the next.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.launch.experiments import read_launches
from engine.launch.pauses import ASKED_FOR, Pause, read_pause, read_paused_experiments
from store.workspace import Workspace

if TYPE_CHECKING:
    from engine.launch.entry import Entry

_LOG = logging.getLogger(__name__)
LONGEST_S = 60.0
"""A command that takes longer is ended."""
OPEN, TOLD = ".open", ".told"
_SHELL = ("/bin/sh", "-c", 'mv -- "$0.open" "$0.told" 2>/dev/null || exit 0; exec /bin/sh -c "$1"')
_ENDED_BADLY = ("failed", "cancelled", "lost")


@dataclass(frozen=True)
class Notice:
    """Something to tell. ``key`` names it in files."""

    key: str
    event: str
    """``finished`` or ``paused``."""
    experiment: str
    """Empty when the whole queue is paused."""
    done: int
    failed: int
    message: str


class Notices:
    """``look`` after whatever happened in the queue; it never waits and lets no error out."""

    def __init__(self, workspace: Workspace, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._workspace = workspace
        self._command = workspace.settings.on_finish
        self._folder = workspace.scheduler / "notices"
        self._clock = clock
        self._calls: list[tuple[subprocess.Popen[bytes], str, float]] = []
        self._handed_out: set[str] = set()

    @property
    def working(self) -> bool:
        """Whether a command runs."""
        self._tend()
        return bool(self._calls)

    def look(self, entries: Mapping[str, Entry]) -> None:
        """Tell what is to be told now; ``entries`` are the runs in the queue."""
        if not self._command.strip():
            return
        try:
            for notice in (*self._endings(entries), *self._pauses(entries)):
                if notice.key not in self._handed_out:
                    self._handed_out.add(notice.key)
                    self._call(notice)
        except Exception:
            # The queue goes on; what could not be told is tried again after whatever happens next.
            _LOG.exception("could not tell what happened")

    def _endings(self, entries: Mapping[str, Entry]) -> Iterator[Notice]:
        """Experiments that had runs to execute and have none any more: all ended, or wait for what will not come."""
        experiments = self._experiments()
        moving = {run_id for run_id, entry in entries.items() if entry.waiting != "held" or entry.ticket.held}
        for name, runs in experiments.items():
            key = f"finished-{name}"
            if not moving.isdisjoint(runs):
                self._handed_out.discard(key)
                self._open(key)
            elif (self._folder / f"{key}{OPEN}").exists():
                states = self._states(runs)
                held = len(entries.keys() & runs)
                # Runs may be missing for a moment while an experiment is being launched.
                if sum(states[state] for state in ("done", *_ENDED_BADLY)) + held == len(runs):
                    yield self._tell(key, "finished", name, states, f"{name} has ended")

    def _pauses(self, entries: Mapping[str, Entry]) -> Iterator[Notice]:
        """Pauses that nobody asked for."""
        queue = read_pause(self._workspace)
        current: dict[str, tuple[str, Pause]] = {}
        for name, pause in (("", queue), *read_paused_experiments(self._workspace).items()):
            if pause is not None and pause.reason != ASKED_FOR:
                current[f"paused-{name}-{pause.since}"] = name, pause
        for file in self._folder.glob("paused-*"):
            if file.stem not in current:
                file.unlink(missing_ok=True)
        experiments = self._experiments() if current else {}
        queued = [runs for runs in experiments.values() if not runs.isdisjoint(entries)]
        for key, (name, pause) in current.items():
            if not (self._folder / f"{key}{TOLD}").exists():
                self._open(key)
                runs = experiments.get(name, frozenset()) if name else frozenset().union(*queued)
                what = f"{name or 'the queue'} is paused: {pause.reason}"
                yield self._tell(key, "paused", name, self._states(runs), what)

    def _tell(self, key: str, event: str, name: str, states: Counter[str], what: str) -> Notice:
        failed = sum(states[state] for state in _ENDED_BADLY)
        counted = ((states["done"], "done"), (failed, "failed"), (states["held"], "held"))
        counts = ", ".join(f"{number} {word}" for number, word in counted if number)
        return Notice(key, event, name, states["done"], failed, f"{what} ({counts})" if counts else what)

    def _experiments(self) -> dict[str, frozenset[str]]:
        """Runs of every experiment, all its launches together."""
        found: dict[str, frozenset[str]] = {}
        for launched in read_launches(self._workspace):
            found[launched.name] = found.get(launched.name, frozenset()).union(launched.runs)
        return found

    def _states(self, run_ids: Iterable[str]) -> Counter[str]:
        runs = [self._workspace.run(run_id) for run_id in run_ids]
        return Counter(run.state().state for run in runs if run.exists())

    def _open(self, key: str) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / f"{key}{OPEN}").touch()

    def _call(self, notice: Notice) -> None:
        told = {
            "ODYSSEY_EVENT": notice.event,
            "ODYSSEY_EXPERIMENT": notice.experiment,
            "ODYSSEY_DONE": str(notice.done),
            "ODYSSEY_FAILED": str(notice.failed),
            "ODYSSEY_WORKSPACE": str(self._workspace.root),
            "ODYSSEY_MESSAGE": notice.message,
        }
        _LOG.info("%s: calling on_finish", notice.message)
        with open(self._workspace.scheduler / "scheduler.log", "ab") as log:
            process = subprocess.Popen(
                (*_SHELL, str(self._folder / notice.key), self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **told},
                cwd=self._workspace.root,
                start_new_session=True,
            )
        self._calls.append((process, notice.message, self._clock() + LONGEST_S))

    def _tend(self) -> None:
        """Say of commands that have ended how, and end those that take too long."""
        for call in list(self._calls):
            process, message, deadline = call
            status = process.poll()
            if status is None and self._clock() > deadline:
                _LOG.warning("on_finish takes more than %.0f s: ended (%s)", LONGEST_S, message)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
            elif status:
                _LOG.warning("on_finish ended with status %d (%s)", status, message)
            if status is not None:
                self._calls.remove(call)
