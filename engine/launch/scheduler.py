"""The scheduler process: one per workspace, detached from whoever started it. ``python -m engine.launch.scheduler``.

It holds ``scheduler/lock`` while it lives, leaves when there is nothing to do, and may be killed at any moment:
the next one finds everything in files and adopts the workers.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING

from engine.launch.lock import Lock, take_lock
from engine.launch.login import find_escape
from engine.launch.renewal import Renewal, start_anew
from engine.launch.slots import slots_wanted
from engine.launch.status import beat, leave, read_status, sleep_at_status, wake_scheduler, works_elsewhere
from engine.launch.wake import Sleeper
from store.files import cannot_write
from store.space import is_full
from store.workspace import Workspace

if TYPE_CHECKING:
    from engine.launch.dispatcher import Dispatcher
    from engine.launch.notices import Notices
    from engine.launch.progress import Progress

_LOG = logging.getLogger("engine.launch.scheduler")
COMMAND = (sys.executable, "-P", "-m", "engine.launch.scheduler")
BUSY_TICK_S = 0.05
IDLE_TICK_S = 0.5
IDLE_EXIT_S = 30.0
STATUS_EVERY_S = 2.0
BEAT_EVERY_S = 10.0
LOCK_WAIT_S = 1.0
"""A client that looks whether the lock is free holds it for an instant; a scheduler outlasts that."""
TROUBLE_LIMIT = 20


def ensure_running(workspace: Workspace) -> bool:
    """Start a scheduler unless one runs; returns whether one was started. Cheap when one runs.

    Raises ``ConfigError`` for a bad ODYSSEY_SLOTS, ``WorkspaceError`` when the workspace cannot be written.
    """
    slots_wanted()
    if works_elsewhere(workspace, read_status(workspace)):
        return False  # it reads the same files; a lock may not reach from one machine to another
    lock = take_lock(workspace)
    if lock is None:
        wake_scheduler(workspace)
        return False
    lock.release()
    command = (*COMMAND, str(workspace.root))
    escape = find_escape()
    try:
        with open(workspace.scheduler / "scheduler.log", "ab") as log:
            if not escape or _detach((*escape, *command), workspace, log):
                _detach(command, workspace, log)
    except OSError as error:
        raise cannot_write(workspace.scheduler, error) from error
    return True


def _detach(command: Sequence[str], workspace: Workspace, log: IO[bytes]) -> int:
    """Run the command, which forks at once so that the scheduler is nobody's child here; returns its exit status."""
    first = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=workspace.root, start_new_session=True
    )
    return first.wait()


class Scheduler:
    """Ticks a dispatcher, keeps ``scheduler.json`` and the database current, and leaves when idle."""

    def __init__(
        self, workspace: Workspace, *, command: Sequence[str] | None = None, idle_exit_s: float = IDLE_EXIT_S
    ) -> None:
        self._workspace = workspace
        self._command = command
        self._idle_exit_s = idle_exit_s
        self._told_to_leave = False
        self._replaced = False
        self._outdated = False
        self._left: set[str] = set()

    def run(self) -> bool:
        """Work until idle or told to leave; False at once when another scheduler works already."""
        before = read_status(self._workspace)
        if works_elsewhere(self._workspace, before):
            _LOG.warning("scheduler %d leaves: one works on %s", os.getpid(), before.identity.host)
            return False
        lock = take_lock(self._workspace, LOCK_WAIT_S)
        while lock is not None:
            try:
                self._await_predecessor(lock)
                self._serve(lock)
            finally:
                lock.release()
            if self._outdated:
                start_anew()
            # A client that queued something while the lock was still held relied on this scheduler.
            if self._replaced or self._told_to_leave or not self._has_work():
                return not self._replaced
            lock = take_lock(self._workspace)
        return False

    def leave(self) -> None:
        """End soon, leaving workers to the next scheduler. Safe in a signal handler."""
        self._told_to_leave = True

    def _has_work(self) -> bool:
        from engine.launch.requests import read_requests
        from engine.launch.tickets import ticketed

        fresh = {run_id for run_id in ticketed(self._workspace) if run_id not in self._left}
        return self._workspace.root.exists() and bool(fresh or read_requests(self._workspace))

    def _await_predecessor(self, lock: Lock) -> None:
        """A scheduler whose lock was removed by hand notices that at its next tick, and leaves; until then it works."""
        status = read_status(self._workspace)
        before = None if status is None or status.identity.pid == os.getpid() else status.identity
        if before is not None and before.alive():
            _LOG.info("scheduler %d waits until scheduler %d has left", os.getpid(), before.pid)
            while before.alive() and not self._told_to_leave and lock.keep():
                time.sleep(BUSY_TICK_S)

    def _serve(self, lock: Lock) -> None:
        from engine.launch.dispatcher import Dispatcher
        from engine.launch.ingesting import Ingester
        from engine.launch.notices import Notices
        from engine.launch.progress import Progress
        from engine.launch.slots import find_slots
        from engine.launch.workers import WORKER_COMMAND

        slots = find_slots(runs_per_gpu=self._workspace.settings.runs_per_gpu)
        progress = Progress(self._workspace, slots)
        progress.write(None)
        renewal = Renewal()
        dispatcher = Dispatcher(self._workspace, slots, command=self._command or WORKER_COMMAND, ended=progress.observe)
        ingester = Ingester(self._workspace)
        notices = Notices(self._workspace)
        sleeper = sleep_at_status(self._workspace)
        ingester.start()
        _LOG.info("scheduler %d: slots %s", os.getpid(), " ".join(slot.name for slot in slots))
        try:
            self._loop(lock, dispatcher, progress, notices, renewal, sleeper, ingester.poke)
            if self._replaced:
                return
            if not (self._told_to_leave or self._outdated):
                dispatcher.pool.dismiss_all()
            self._left = dispatcher.known
            progress.write(dispatcher)
            leave(self._workspace)
        finally:
            sleeper.close()
            ingester.close()
        _LOG.info("scheduler %d leaves", os.getpid())

    def _loop(
        self,
        lock: Lock,
        dispatcher: Dispatcher,
        progress: Progress,
        notices: Notices,
        renewal: Renewal,
        sleeper: Sleeper,
        poke: Callable[[], None],
    ) -> None:
        idle_since, status_at, beat_at, trouble = time.monotonic(), 0.0, 0.0, 0
        while not self._told_to_leave:
            try:
                if not lock.keep():
                    _LOG.warning("scheduler %d leaves: another has the lock, whose file was removed", os.getpid())
                    self._replaced = True
                    return
                dispatcher.code = renewal.look()
                if renewal.due:
                    self._outdated = True
                    return
                changed = dispatcher.tick()
                if changed:
                    notices.look(dispatcher.entries)
                busy, now = dispatcher.busy or notices.working, time.monotonic()
                if changed or (busy and now - status_at > STATUS_EVERY_S):
                    progress.write(dispatcher)
                    status_at = now
                if now - beat_at > BEAT_EVERY_S:
                    beat(self._workspace)
                    beat_at = now
                trouble = 0
            except Exception as error:
                if is_full(error) and self._workspace.root.exists():
                    trouble = self._wait_for_space(error, trouble)
                    continue
                trouble += 1
                if trouble > TROUBLE_LIMIT or not self._workspace.root.exists():
                    raise
                _LOG.exception("a tick failed; going on")
                changed, busy, now = True, True, time.monotonic()
            if busy or changed:
                idle_since = now
                poke()
            elif now - idle_since > self._idle_exit_s:
                return
            sleeper.sleep(BUSY_TICK_S if changed or (busy and not dispatcher.resting) else IDLE_TICK_S)

    @staticmethod
    def _wait_for_space(error: Exception, times: int) -> int:
        """Nothing can be written now; whatever was to be is looked for again. Said once in the log."""
        if not times:
            _LOG.warning("waiting for space on the disk: %s", error)
        time.sleep(IDLE_TICK_S)
        return times + 1


def main(command: Sequence[str] | None = None) -> None:
    """Detach, then schedule until there is nothing to do."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    scheduler = Scheduler(Workspace.open(sys.argv[1]), command=command)
    signal.signal(signal.SIGTERM, lambda number, frame: scheduler.leave())
    scheduler.run()


if __name__ == "__main__":
    main()
