"""A worker process: executes one run after another, so that imports are paid once. ``python -m engine.worker``.

It is told what to do through ``inbox.json`` and answers through ``worker.json`` and the journals of its runs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from engine.code import Code, parse_code, read_code
from engine.failures import explain
from engine.launch.mailbox import TOLD_TO_END, UNFINISHED, Card, Mailbox, Order, Watched, parse_order
from engine.launch.process import Identity
from engine.launch.slurm.allocation import Allocation
from engine.launch.status import scheduler_alive, wake_scheduler
from engine.launch.together import SUPERVISED, ask_to_stop, failure_left
from engine.launch.wake import Sleeper
from engine.report import JobContext, Report, StopRequested
from engine.spec.run import RunSpec
from store.errors import OdysseyError
from store.journal import read_events
from store.run_dir import AttemptDir, RunDir
from store.workspace import Workspace

JOBS = {
    kind: f"engine.jobs.{kind}" for kind in ("prepare", "pretrain", "adapt", "evaluate", "drift", "similarity", "fit")
}
"""The module that executes each kind of job; it has ``execute(job, context)``."""
TENSOR_JOBS = frozenset({"pretrain", "adapt", "evaluate", "drift"})
HEAVY = ("torch", "transformers.models.gpt2.modeling_gpt2")
"""Imported while waiting for the first run: seconds that no run then pays."""
GANG_COMMAND = (sys.executable, "-P", "-m", "engine.gang")
RANK = ("-P", "-m", "engine.rank")
POLL_S = 0.05
REST_S = 1.0
"""A worker that has executed runs imports nothing ahead before it has waited so long: the next may need none of it."""
ORPHAN_S = 20.0
"""Without a scheduler, an idle worker stays this long for the next one."""


class Worker:
    """The loop of one worker. ``jobs`` maps kinds to module names; ``rank`` is what Python runs as one of several."""

    def __init__(
        self, workspace: Workspace, worker_id: str, jobs: Mapping[str, str], heavy: Sequence[str], rank: Sequence[str]
    ) -> None:
        self._workspace = workspace
        self._rank = tuple(rank)
        self._jobs = jobs
        self._heavy = list(heavy)
        self._mailbox = Mailbox(workspace.workers / worker_id)
        self._slot = self._mailbox.read_slot()
        self._inbox = Watched(self._mailbox.inbox, parse_order)
        self._identity = Identity.current()
        self._terminated = False
        self._frozen_modules = 0

    def work(self) -> None:
        """Execute runs until told to leave, terminated, or orphaned."""
        signal.signal(signal.SIGTERM, self.end)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        sleeper = Sleeper(self._mailbox.inbox)
        finished, idle_since = 0, time.monotonic()
        self._write_card(finished)
        while not self._terminated:
            order = self._inbox.read()
            if order is None:
                return
            if order.seq > finished:
                self._execute(order)
                finished, idle_since = order.seq, time.monotonic()
                if not self._terminated:
                    self._write_card(finished)
                    wake_scheduler(self._workspace)
                self._tidy()
            elif order.exit:
                shutil.rmtree(self._mailbox.path, ignore_errors=True)
                return
            elif self._heavy and (not finished or time.monotonic() - idle_since > REST_S):
                self._import_heavy()
                self._tidy()
                self._write_card(finished)
            elif time.monotonic() - idle_since > ORPHAN_S:
                if not scheduler_alive(self._workspace):
                    return
                idle_since = time.monotonic()
            else:
                sleeper.sleep(POLL_S)

    def end(self, number: int, frame: FrameType | None) -> None:
        """Stop the run at its next safe point, and leave; a signal handler."""
        self._terminated = True

    def start_gang(
        self, processes: int, where: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start the processes of a run of several; ``where`` are their arguments."""
        return subprocess.Popen(
            (*GANG_COMMAND, str(processes), *self._rank, *where),
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )

    def _execute(self, order: Order) -> None:
        run = self._workspace.run(order.run_id)
        attempt = run.attempt(order.attempt)
        processes = count_processes(run)
        if processes > 1:
            self._supervise(order, attempt, processes)
            return
        with console_to(attempt.console), Report(attempt) as report:
            try:
                self._run_job(order, run, report)
            except StopRequested:
                self._conclude_stop(report)
            except Exception as error:
                fail(report, run, attempt, error)

    def _run_job(self, order: Order, run: RunDir, report: Report) -> None:
        started = time.monotonic()
        spec = RunSpec.model_validate(run.spec())
        device = self._device()
        announce(report, run, self._identity, device)
        if self._slot.gpu is not None and device == "cpu":
            report.warning("a GPU is there, but this build of torch cannot use it: running on the CPU")
        with self._watched(order, report):
            report.check_stop()
            if spec.job.kind in TENSOR_JOBS:
                self._import_all_heavy()
            job = importlib.import_module(self._jobs[spec.job.kind])
            threads = max(spec.resources.cpu_threads, self._slot.threads)
            job.execute(spec.job, JobContext(self._workspace, spec, run, report, device, threads))
        report.emit("done", seconds=round(time.monotonic() - started, 3))

    def _supervise(self, order: Order, attempt: AttemptDir, processes: int) -> None:
        """Have a run executed by processes of their own. They write its journal; this one has the last word at most."""
        threads = max(1, self._slot.threads // processes)
        where = str(self._workspace.root), order.run_id, str(order.attempt)
        with console_to(attempt.console):
            gang = self.start_gang(processes, where, {SUPERVISED: "1", "OMP_NUM_THREADS": str(threads)})
            asked = False
            while gang.poll() is None:
                reason = self._wish_to_stop(order, self._inbox)
                if reason is not None and not asked:
                    asked = True
                    ask_to_stop(attempt, reason)
                time.sleep(POLL_S)
            failed = failure_left(attempt)
            if failed is not None and not self._workspace.run(order.run_id).state().finished:
                with Report(attempt) as report:
                    report.emit("failed", **failed)

    @contextlib.contextmanager
    def _watched(self, order: Order, report: Report) -> Iterator[None]:
        """Watch for a request to stop meanwhile. Nothing is journalled by the watch once this has ended."""
        finished = threading.Event()
        watch = threading.Thread(target=self._watch, args=(order, report, finished), name="watch", daemon=True)
        watch.start()
        try:
            yield
        finally:
            finished.set()
            watch.join()

    def _watch(self, order: Order, report: Report, finished: threading.Event) -> None:
        """Pass a request to stop on to the running job."""
        inbox = Watched(self._mailbox.inbox, parse_order)
        while not finished.wait(POLL_S):
            reason = self._wish_to_stop(order, inbox)
            if reason is not None:
                report.emit("stopping", reason=reason)
                report.request_stop(reason)
                return

    def _wish_to_stop(self, order: Order, inbox: Watched[Order]) -> str | None:
        """Why the run of ``order`` should stop, if it should."""
        current = inbox.read()
        asked = current.stop if current and current.seq == order.seq else None
        return TOLD_TO_END if self._terminated else asked

    def _conclude_stop(self, report: Report) -> None:
        # A worker that was told to end leaves the run unfinished: the scheduler queues it again, and it resumes.
        # So does one whose run a person holds.
        if not self._terminated and report.stop_reason not in UNFINISHED:
            report.emit("cancelled", reason=report.stop_reason or "stopped by itself")

    def _device(self) -> str:
        if self._slot.gpu is None:
            return "cpu"
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    def _write_card(self, finished: int) -> None:
        self._mailbox.write_card(Card(self._identity, finished, warm=not self._heavy, code=code().hash))

    def _import_all_heavy(self) -> None:
        while self._heavy:
            self._import_heavy()

    def _import_heavy(self) -> None:
        # Looking for garbage among what imports leave behind, again and again, takes a tenth of their time.
        gc.disable()
        try:
            importlib.import_module(self._heavy.pop(0))
        except ImportError:
            # A job that needs it fails with the same error, in its own journal.
            traceback.print_exc()
        finally:
            gc.enable()

    def _tidy(self) -> None:
        gc.collect()
        if len(sys.modules) != self._frozen_modules:
            # What imports leave behind stays for good; looking through it again costs 0.15 s between two runs.
            gc.freeze()
            self._frozen_modules = len(sys.modules)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def count_processes(run: RunDir) -> int:
    """How many processes execute the run; 1 if its specification cannot be read, which executing it will say."""
    try:
        return RunSpec.model_validate(run.spec()).resources.world
    except (OdysseyError, ValidationError):
        return 1


def announce(report: Report, run: RunDir, identity: Identity, device: str, **more: object) -> None:
    """Journal who begins to execute the attempt, on what; warn where the code is not that of when it was queued."""
    report.emit(
        "starting",
        host=identity.host,
        pid=identity.pid,
        pid_started=identity.pid_started,
        boot_id=identity.boot_id,
        device=device,
        versions=versions(),
        git=code().git,
        code=code().record(),
        **(allocation.fields() if (allocation := Allocation.find()) else {}),
        **more,
    )
    queued = queued_code(run)
    if queued is not None and queued.hash != code().hash:
        report.warning(f"queued with code {queued}, executed by {code()}")


def fail(report: Report, run: RunDir, attempt: AttemptDir, error: Exception) -> None:
    """Journal why a run failed in one line and what to do about it; the traceback goes to the console."""
    report.make_room()
    # A console on a full disk takes no traceback; the journal still has the room that was set aside.
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
    failure = explain(error, run, attempt.console)
    report.emit("failed", reason=failure.reason, hint=failure.hint, error_type=type(error).__name__)


@contextlib.contextmanager
def console_to(path: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2 to ``path``, so that native libraries and child processes are caught as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = [os.dup(1), os.dup(2)]
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    _redirect([target, target])
    os.close(target)
    try:
        yield
    finally:
        _redirect(saved)
        for descriptor in saved:
            os.close(descriptor)


def _redirect(descriptors: Sequence[int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for number, descriptor in enumerate(descriptors, start=1):
        os.dup2(descriptor, number)


@cache
def versions() -> dict[str, str]:
    """Versions of what results may depend on."""
    found = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name, distribution in (("torch", "torch"), ("transformers", "transformers"), ("odyssey", "odyssey-tui")):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(distribution)
    return found


@cache
def code() -> Code:
    """The code of this process: what lay on the disk when it was first asked for, at the start."""
    return read_code()


def queued_code(run: RunDir) -> Code | None:
    """The code with which a run was queued last; None where nobody said, as of a run that a command executes."""
    said = [parse_code(event.get("code")) for event in read_events(run.control)[0]]
    return next((found for found in reversed(said) if found is not None), None)


def main(
    arguments: Sequence[str] | None = None,
    *,
    jobs: Mapping[str, str] = JOBS,
    heavy: Sequence[str] = HEAVY,
    rank: Sequence[str] = RANK,
) -> None:
    """``WORKSPACE WORKER_ID``, as the scheduler starts it."""
    root, worker_id = sys.argv[1:] if arguments is None else arguments
    faulthandler.enable()
    code()
    Worker(Workspace.open(root), worker_id, jobs, heavy, rank).work()


if __name__ == "__main__":
    main()
