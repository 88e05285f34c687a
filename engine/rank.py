"""One of the processes that execute a run together: ``python -m engine.rank WORKSPACE RUN_ID ATTEMPT``, by torchrun.

The first process writes the journal, as a worker does for a run of one process; the others are silent, and whoever
started them leaves the journal alone meanwhile.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from engine.failures import explain
from engine.launch.mailbox import TOLD_TO_END, UNFINISHED
from engine.launch.process import Identity
from engine.launch.together import FAILED, SUPERVISED, command, failure_left, leave_failure, stop_asked
from engine.report import JobContext, Report, Silent, StopRequested
from engine.spec.run import RunSpec
from engine.worker import JOBS, announce, console_to
from store.errors import ConfigError, OdysseyError
from store.run_dir import AttemptDir, RunDir
from store.workspace import Workspace

REFUSED = 2
ENDING = frozenset({signal.SIGTERM, signal.SIGINT})
LOOK_S = 0.1
ECHO_S = 1.0
"""When one process dies, calls of the others fail too: this long is waited for news of the first death."""
PATIENCE = timedelta(hours=2)
"""The others wait while the first saves. Deaths are noticed otherwise, so this ends nothing but a true hang."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that execute a run, as torchrun says."""

    rank: int
    world: int
    local_rank: int
    local_world: int

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Place:
        """``ConfigError`` when torchrun did not start this process."""
        try:
            return cls(*(int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
        except KeyError as error:
            raise ConfigError(
                f"engine.rank is started by torchrun, which sets {error.args[0]}",
                "Use `torchrun --nproc-per-node N -m engine.rank WORKSPACE RUN_ID ATTEMPT`.",
            ) from error


class Rank:
    """One process of a run, from its start to the end of its part."""

    def __init__(self, workspace: Workspace, run: RunDir, spec: RunSpec, attempt: AttemptDir, place: Place) -> None:
        self._workspace = workspace
        self._run = run
        self._spec = spec
        self._attempt = attempt
        self._place = place
        self._supervised = SUPERVISED in os.environ
        self._parent = os.getppid()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._report: Report = Silent(attempt.number) if place.rank else Report(attempt)

    def work(self, jobs: Mapping[str, str] = JOBS) -> int:
        """Execute the run; returns the exit status. ``jobs`` maps kinds of job to module names."""
        for duty in (self._heed_signals, self._watch):
            threading.Thread(target=duty, name=duty.__name__, daemon=True).start()
        started = time.monotonic()
        try:
            self._execute(jobs)
        except StopRequested:
            # A run whose processes were told to end, or that a person holds, is unfinished: its next attempt goes on.
            if self._report.stop_reason not in UNFINISHED:
                self._conclude("cancelled", reason=self._report.stop_reason or "stopped by itself")
        except Exception as error:
            self._fail(error)
            return FAILED
        else:
            self._conclude("done", seconds=round(time.monotonic() - started, 3))
        finally:
            self._over.set()
            self._report.close()
        return 0

    def _execute(self, jobs: Mapping[str, str]) -> None:
        on_gpu = bool(self._spec.resources.gpus or os.environ.get("CUDA_VISIBLE_DEVICES"))
        announce(self._report, self._run, Identity.current(), "cuda" if on_gpu else "cpu", processes=self._place.world)
        device = self._join(on_gpu)
        self._report.check_stop()
        job = importlib.import_module(jobs[self._spec.job.kind])
        threads = max(self._spec.resources.cpu_threads, int(os.environ.get("OMP_NUM_THREADS", "1")))
        context = JobContext(self._workspace, self._spec, self._run, self._report, device, threads)
        job.execute(self._spec.job, context)

    def _join(self, on_gpu: bool) -> str:
        """Meet the other processes; returns the device of this one."""
        import torch

        backend, device = "gloo", "cpu"
        if on_gpu and torch.cuda.is_available():
            if torch.cuda.device_count() < self._place.local_world:
                raise ConfigError(
                    f"{self._place.local_world} processes on this machine want a GPU each, of which "
                    f"{torch.cuda.device_count()} can be seen",
                    "Look at CUDA_VISIBLE_DEVICES, or let the run want fewer.",
                )
            backend, device = "cpu:gloo,cuda:nccl", f"cuda:{self._place.local_rank}"
            torch.cuda.set_device(device)
        elif on_gpu:
            self._report.warning("no GPU that this build of torch could use: running on the CPU")
        torch.distributed.init_process_group(backend, timeout=PATIENCE)
        return device

    def _conclude(self, event: str, **fields: object) -> None:
        with self._lock:
            self._over.set()
            self._report.emit(event, **fields)

    def _fail(self, error: Exception) -> None:
        """Journal a failure once, whichever process it happened in; the traceback goes to the console."""
        if not isinstance(error, OdysseyError):
            # Meanwhile a process that died first is heard of, and this one is ended.
            time.sleep(ECHO_S)
        with self._lock:
            self._over.set()
            self._report.make_room()
            with contextlib.suppress(OSError):
                traceback.print_exception(error)
            known = explain(error, self._run, self._attempt.console)
            reason = f"process {self._place.rank} of {self._place.world}: {known.reason}"
            failed = {"reason": reason, "hint": known.hint, "error_type": type(error).__name__}
            if self._place.rank == 0:
                self._report.emit("failed", **failed)
            else:
                leave_failure(self._attempt, failed)

    # Threads beside the job, which may be waiting for another process, deaf to everything

    def _heed_signals(self) -> None:
        signal.sigwait(ENDING)
        if self._supervised:
            os._exit(FAILED)
        self._stop(TOLD_TO_END)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            if os.getppid() != self._parent:
                os._exit(FAILED)
            if self._place.rank == 0:
                self._look_at_files()

    def _look_at_files(self) -> None:
        failed = failure_left(self._attempt)
        if failed is not None:
            with self._lock:
                if not self._over.is_set():
                    self._report.emit("failed", **failed)
                    os._exit(FAILED)
        reason = stop_asked(self._attempt)
        if reason is not None and not self._report.should_stop():
            self._stop(reason)

    def _stop(self, reason: str) -> None:
        with self._lock:
            if not self._over.is_set():
                self._report.emit("stopping", reason=reason)
                self._report.request_stop(reason)


def prepare(root: str, run_id: str, number: int) -> tuple[Rank, AttemptDir]:
    """Check that these processes can execute the run; ``OdysseyError`` otherwise, before anything is journalled."""
    place = Place.find()
    workspace = Workspace.open(root)
    run = workspace.run(run_id)
    spec = RunSpec.model_validate(run.spec())
    wanted, attempt = spec.resources, run.attempt(number)
    if (wanted.world, wanted.ranks_per_node) != (place.world, place.local_world):
        raise ConfigError(
            f"run {run_id} wants {wanted.ranks_per_node} processes on {wanted.nodes} machine(s); torchrun started "
            f"{place.local_world} on this one, {place.world} in all",
            f"Use `{command(spec, workspace, number)}`.",
        )
    if place.rank == 0 and attempt.events.exists():
        raise ConfigError(f"attempt {number} of run {run_id} has begun already", f"Start attempt {number + 1}.")
    unmet = [need for need in spec.needs if workspace.run(need).state().state != "done"]
    if unmet:
        raise ConfigError(f"run {run_id} needs {unmet[0]}, which is not done", "Let it finish first.")
    return Rank(workspace, run, spec, attempt, place), attempt


def main(arguments: Sequence[str] | None = None, *, jobs: Mapping[str, str] = JOBS) -> None:
    """``WORKSPACE RUN_ID ATTEMPT``."""
    faulthandler.enable()
    # A thread waits for them instead: Python's handlers would not run while another process is waited for.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    root, run_id, number = sys.argv[1:] if arguments is None else arguments
    try:
        rank, attempt = prepare(root, run_id, int(number))
    except OdysseyError as error:
        print(f"odyssey: {error.message}\n{error.hint}", file=sys.stderr, flush=True)
        sys.exit(REFUSED)
    with console_to(attempt.console):
        status = rank.work(jobs)
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of the communication libraries are not waited for: now and then one aborts a process that is done.
        os._exit(status)


if __name__ == "__main__":
    main()
