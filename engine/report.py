"""A run's voice: the one writer of an attempt's journal and spool, and the request to stop travelling the other way."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.errors import WorkspaceError
from store.journal import Journal
from store.shards import write_shard
from store.space import Reserve

if TYPE_CHECKING:
    from types import TracebackType

    import pyarrow as pa

    from engine.spec.run import RunSpec
    from store.run_dir import AttemptDir, RunDir
    from store.workspace import Workspace

HEARTBEAT_S = 5.0
PROGRESS_EVERY_S, PROGRESS_SELDOM_S = 0.5, 5.0
PROGRESS_SHARE = 1e-3
"""Progress is written every thousandth of the time a run has taken, within these bounds: journals stay small."""


class StopRequested(Exception):
    """Raised by a job that stops because it was asked to, after it has saved what it needs to resume."""


class Report:
    """Writes what a job does into its attempt's journal; safe to call from several threads.

    Progress is written at most every ``PROGRESS_EVERY_S`` seconds, in long runs every ``PROGRESS_SELDOM_S`` (a new
    phase and the last unit always), with the remaining seconds estimated from the rate since ``running``. A heartbeat
    thread shows that the process lives even while one step takes long. Use as a context manager, or call ``close``.
    """

    def __init__(self, attempt: AttemptDir, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.attempt = attempt.number
        """Which of the run's attempts this is, from 1."""
        self._journal = Journal(attempt.events)
        self._reserve = Reserve(attempt.path / ".reserve")
        self._spool = attempt.spool
        self._lock = threading.Lock()
        self._total = 0
        self._origin = (time.monotonic(), 0.0)
        self._written = (float("-inf"), "")
        self._stop_reason: str | None = None
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, args=(heartbeat_s,), name="heartbeat", daemon=True)
        self._heart.start()

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def emit(self, event: str, **fields: Any) -> None:
        """Append one event (see the table of events in docs/architecture.md)."""
        self._journal.append(event, **fields)

    def running(self, total: float, unit: str, done: float = 0) -> None:
        """Announce the work: ``total`` units, ``done`` of them already there when the run resumes."""
        with self._lock:
            self._total = total
            self._origin = (time.monotonic(), done)
            self._written = (float("-inf"), "")
        self.emit("running", total=total, unit=unit)

    def progress(self, done: float, phase: str = "") -> None:
        """Say that ``done`` units of the announced total are finished; cheap enough to call at every step."""
        now = time.monotonic()
        with self._lock:
            written, last_phase = self._written
            total = self._total
            started, done_before = self._origin
            pause = min(max((now - started) * PROGRESS_SHARE, PROGRESS_EVERY_S), PROGRESS_SELDOM_S)
            if now - written < pause and phase == last_phase and done < total:
                return
            self._written = (now, phase)
        gained = done - done_before
        eta_s = (now - started) * max(total - done, 0) / gained if gained > 0 else None
        self.emit("progress", done=done, total=total, phase=phase, eta_s=None if eta_s is None else round(eta_s, 2))

    def metric(self, step: int, tokens: int, branch: str = "trunk", **values: float) -> None:
        """Record values of one optimiser step; ``tokens`` counts the branch's training tokens so far."""
        self.emit("metric", step=step, tokens=tokens, branch=branch, values=values)

    def shard(self, kind: str, table: pa.Table) -> str:
        """Write a shard into the spool and return its name, for the event that refers to it."""
        return write_shard(self._spool, kind, table)

    def warning(self, text: str) -> None:
        """Record something the reader of the results should know."""
        self.emit("warning", message=text)

    def request_stop(self, reason: str) -> None:
        """Ask the job to stop at its next safe point (from a signal handler or another thread)."""
        self._stop_reason = self._stop_reason or reason

    @property
    def stop_reason(self) -> str | None:
        """Why the job was asked to stop; None while it may go on."""
        return self._stop_reason

    def should_stop(self) -> bool:
        """Whether to save what is needed to resume and raise ``StopRequested``."""
        return self._stop_reason is not None

    def check_stop(self) -> None:
        """Raise ``StopRequested`` if a stop was asked for: for work that has nothing to save."""
        if self._stop_reason is not None:
            raise StopRequested(self._stop_reason)

    def make_room(self) -> None:
        """Give up what was set aside on the disk, so that the last events can be written when it is full."""
        self._reserve.give_up()

    def close(self) -> None:
        """Stop the heartbeat and close the journal."""
        self._closed.set()
        self._heart.join()
        self._reserve.give_up()
        self._journal.close()

    def _beat(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            # A full disk may have room again by the next beat; if not, the job's own next event says so.
            with contextlib.suppress(WorkspaceError):
                self._journal.append("heartbeat")


class Silent(Report):
    """A report nobody reads, as of a process that trains beside the one that speaks: it only takes requests to stop."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self._stop_reason = None

    def emit(self, event: str, **fields: Any) -> None:
        pass

    def running(self, total: float, unit: str, done: float = 0) -> None:
        pass

    def progress(self, done: float, phase: str = "") -> None:
        pass

    def shard(self, kind: str, table: pa.Table) -> str:
        return ""

    def make_room(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class JobContext:
    """What a job is given besides its own description."""

    workspace: Workspace
    spec: RunSpec
    run: RunDir
    report: Report
    device: str
    """A torch device name: ``cpu``, ``cuda``, ``cuda:0``."""
    threads: int
    """CPU threads the job may use."""
