"""What a Slurm job executes: one run of a batch. ``python -m engine.slurm_task WORKSPACE BATCH``.

The same worker as in the local queue, in this process: it opens the run's next attempt, so a job that Slurm starts
again, after a preemption or a time limit, goes on from the last checkpoint. Nobody else needs to be alive.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from engine.launch.mailbox import Mailbox, Order, Slot
from engine.launch.slurm.allocation import Allocation
from engine.launch.slurm.batches import Batch, find_batch
from engine.launch.slurm.client import Client
from engine.launch.tickets import has_ticket
from engine.launch.together import SUPERVISED
from engine.report import Report
from engine.spec.run import Resources, RunSpec
from engine.worker import JOBS, RANK, Worker
from store.errors import ConfigError, OdysseyError
from store.run_dir import AttemptDir, RunDir
from store.workspace import Workspace

UNFINISHED = 75
"""Exit status of a job whose run is to go on."""
REFUSED = 2


class JobWorker(Worker):
    """A worker within a Slurm job; processes on several nodes are started by srun and torchrun."""

    def __init__(
        self,
        workspace: Workspace,
        mailbox: Mailbox,
        wanted: Resources,
        allocation: Allocation,
        jobs: Mapping[str, str],
        rank: Sequence[str],
    ) -> None:
        super().__init__(workspace, mailbox.path.name, jobs, (), rank)
        self._wanted = wanted
        self._allocation = allocation

    def start_gang(
        self, processes: int, where: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        # Slurm ends all processes of a job itself, not this one alone, so each must heed SIGTERM.
        environment = {**environment, "OMP_NUM_THREADS": str(self._wanted.cpu_threads)}
        del environment[SUPERVISED]
        if self._wanted.nodes == 1:
            return super().start_gang(processes, where, environment)
        wanted, number = self._wanted, str(self._wanted.nodes)
        srun = ("srun", "--nodes", number, "--ntasks", number, "--ntasks-per-node", "1", "--kill-on-bad-exit=1")
        cores = f"--cpus-per-task={wanted.cpu_threads * wanted.ranks_per_node}"
        torchrun = (sys.executable, "-P", "-m", "torch.distributed.run", "--nnodes", number)
        meet = ("--rdzv-backend", "c10d", "--rdzv-endpoint", self._allocation.endpoint(), "--rdzv-id")
        each = ("--nproc-per-node", str(wanted.ranks_per_node), "--no-python", sys.executable, *self._rank, *where)
        return subprocess.Popen(
            (*srun, cores, *torchrun, *meet, self._allocation.job, *each),
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )


class Task:
    """One job, from its start to its end."""

    def __init__(
        self, workspace: Workspace, batch: Batch, allocation: Allocation, jobs: Mapping[str, str], rank: Sequence[str]
    ) -> None:
        self._workspace = workspace
        self._batch = batch
        self._allocation = allocation
        self._jobs = jobs
        self._rank = rank
        self._time_is_up = False
        self._worker: JobWorker | None = None

    def execute(self) -> int:
        """Execute the run of this place, unless nobody wants it any more; returns the exit status."""
        run = self._workspace.run(self._batch.runs()[self._allocation.index])
        state = run.state()
        if state.finished or not has_ticket(self._workspace, run.run_id):
            print(f"odyssey: run {run.run_id} is {state.state}: nothing to do", file=sys.stderr, flush=True)
            return 0
        if self._batch.withdrawn(self._allocation.index):
            print(f"odyssey: run {run.run_id} is wanted no more", file=sys.stderr, flush=True)
            return 0
        wanted = RunSpec.model_validate(run.spec()).resources
        attempt = run.new_attempt()
        mailbox = self._furnish(run, attempt, wanted)
        began = mailbox.slot.stat().st_mtime
        try:
            self._worker = JobWorker(self._workspace, mailbox, wanted, self._allocation, self._jobs, self._rank)
            signal.signal(signal.SIGUSR1, self._warn)
            self._worker.work()
            return self._conclude(run, attempt, began, wanted)
        finally:
            shutil.rmtree(mailbox.path, ignore_errors=True)

    def _furnish(self, run: RunDir, attempt: AttemptDir, wanted: Resources) -> Mailbox:
        """A mailbox with one order in it; hidden, so that no scheduler adopts who reads it."""
        mailbox = Mailbox(self._workspace.workers / f".slurm-{self._allocation.job}-{attempt.number}")
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES") if wanted.gpus else None
        mailbox.write_slot(Slot(f"slurm {self._allocation.job}", gpu, wanted.cpu_threads * wanted.ranks_per_node))
        mailbox.write_order(Order(1, run.run_id, attempt.number, exit=True))
        return mailbox

    def _warn(self, number: int, frame: FrameType | None) -> None:
        self._time_is_up = True
        if self._worker is not None:
            self._worker.end(number, frame)

    def _conclude(self, run: RunDir, attempt: AttemptDir, began: float, wanted: Resources) -> int:
        state = run.state()
        if state.finished:
            return 0 if state.state == "done" else 1
        if not self._time_is_up:
            return UNFINISHED
        if not _saved_since(run, began):
            with Report(attempt) as report:
                report.emit(
                    "failed",
                    reason=f"its time in Slurm ({wanted.slurm.time}) was over before anything could be saved",
                    hint="Raise resources.slurm.time, then launch or retry it.",
                    error_type="TimeLimit",
                )
            return 1
        try:
            Client().requeue(self._allocation.job)
        except OdysseyError as error:
            # The scheduler of the workspace finds the run unfinished, and submits it anew.
            print(f"odyssey: Slurm does not requeue this job: {error.message}", file=sys.stderr, flush=True)
        return UNFINISHED


def _saved_since(run: RunDir, began: float) -> bool:
    """Whether there is a checkpoint younger than ``began``, by the clock of their file system."""
    return any(file.stat().st_mtime >= began for file in run.checkpoint("resume").glob("*"))


def main(*, jobs: Mapping[str, str] = JOBS, rank: Sequence[str] = RANK) -> None:
    """``WORKSPACE BATCH``, the place in the array from Slurm."""
    faulthandler.enable()
    root, name = sys.argv[1:]
    try:
        allocation = Allocation.find()
        if allocation is None:
            raise ConfigError("this is no Slurm job", "engine.slurm_task is started by sbatch.")
        workspace = Workspace.open(root)
        status = Task(workspace, find_batch(workspace, name), allocation, jobs, rank).execute()
    except OdysseyError as error:
        print(f"odyssey: {error.message}\n{error.hint}", file=sys.stderr, flush=True)
        status = REFUSED
    sys.exit(status)


if __name__ == "__main__":
    main()
