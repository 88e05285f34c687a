"""The pool of worker processes: one warm worker per slot, started here or adopted from a scheduler that died."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.launch.mailbox import Card, Mailbox, Order, Slot, Watched, parse_card, parse_order
from engine.launch.memory import count_memory_kills
from engine.launch.process import Instant
from store.errors import DataError
from store.heartbeat import age_s
from store.run_dir import RunDir
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)

# -P: a folder named like a package in the working directory must not be imported instead of it.
WORKER_COMMAND = (sys.executable, "-P", "-m", "engine.worker")
TAIL_BYTES = 65_536
_FATAL = "Fatal Python error: "
MEMORY_ADVICE = (
    "Lower training.batch_sequences and raise training.accumulate by the same factor (or lower evaluate.batch_tokens), "
    "run fewer at a time (ODYSSEY_SLOTS), or give the job more memory; then retry the run."
)
CUT_ADVICE = (
    "A file that it read was cut short or its disk failed. Check the disk; if a folder in `cache` is damaged delete "
    "it, it is made again; then retry the run."
)
ELSEWHERE_S = 60.0
"""A worker of another machine whose run's journal has been silent for so long counts as dead."""
BIRTH_S = 60.0
"""A worker that another scheduler started has this long to introduce itself."""

# Without these, first-touch page faults dominate small models on the CPU: +28 % to 2x tokens per second (bench/).
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


@dataclass
class Worker:
    """One worker as the scheduler sees it."""

    worker_id: str
    slot: Slot
    mailbox: Mailbox
    order: Order = field(default_factory=Order)
    child: subprocess.Popen[bytes] | None = None
    killed: bool = False
    memory_kills: int | None = field(default_factory=count_memory_kills)
    """What the kernel had counted when the worker was started."""

    def __post_init__(self) -> None:
        self._card: Watched[Card] = Watched(self.mailbox.card, parse_card)

    @property
    def busy(self) -> bool:
        """Whether a run was handed over that the worker has not finished with."""
        card = self._card.read()
        return self.order.seq > (card.finished if card else 0)

    @property
    def available(self) -> bool:
        """Whether it can be given a run."""
        return not self.order.exit and not self.busy and self.alive()

    @property
    def warm(self) -> bool:
        """Whether a run handed over now would start without imports."""
        card = self._card.read()
        return card is not None and card.warm

    @property
    def code(self) -> str:
        """Hash of the sources it began with; empty until it has introduced itself."""
        card = self._card.read()
        return card.code if card else ""

    def alive(self) -> bool:
        """Whether its process runs, or may still be starting."""
        if self.child is not None:
            return self.child.poll() is None
        card = self._card.read()
        if card is not None and card.identity.elsewhere:
            return self._seen_elsewhere()
        return card.identity.alive() if card else self.order.given.age_s() < BIRTH_S

    def _seen_elsewhere(self) -> bool:
        """Whether a worker of another machine still writes the journal of its run, where a heart beats."""
        if not self.busy:
            return False
        run = RunDir(self.mailbox.path.parent.parent / "runs" / self.order.run_id)
        silent_s = age_s(run.attempt(self.order.attempt).events)
        return silent_s is not None and silent_s < ELSEWHERE_S

    @property
    def occupied_s(self) -> float:
        """Seconds since it was given its newest run, or, without one, since it was started."""
        return self.order.given.age_s()

    def assign(self, run_id: str, attempt: int) -> None:
        """Hand over a run."""
        self._write(Order(self.order.seq + 1, run_id, attempt, given=Instant.now()))

    def stop(self, reason: str) -> None:
        """Ask for the current run to be stopped."""
        self._write(replace(self.order, stop=reason))

    def dismiss(self) -> None:
        """Ask to leave when idle."""
        if not self.order.exit:
            self._write(replace(self.order, exit=True))

    def kill(self) -> None:
        """End the process now; ``alive`` then turns False."""
        self.killed = True
        card = self._card.read()
        if self.child is not None:
            self.child.kill()
        elif card is not None and card.identity.alive():
            os.kill(card.identity.pid, signal.SIGKILL)

    def ending(self) -> str:
        """How the process ended, in words."""
        code = self.child.returncode if self.child is not None else None
        if code is None:
            return "its worker vanished"
        if code >= 0:
            return f"its worker exited with status {code}"
        name = signal.Signals(-code).name
        if -code != signal.SIGKILL or self.killed:
            return f"its worker was ended by {name}"
        kills = count_memory_kills()
        if kills is None or self.memory_kills is None:
            return f"its worker was ended by {name}, often for want of memory"
        if kills > self.memory_kills:
            return f"its worker was ended by the kernel for want of memory ({name})"
        return f"its worker was ended by {name}"

    def advice(self) -> str:
        """What to do about how the process ended; empty where its last words are all there is."""
        if "memory" in self.ending():
            return MEMORY_ADVICE
        code = self.child.returncode if self.child is not None else None
        return CUT_ADVICE if code == -signal.SIGBUS else ""

    def _write(self, order: Order) -> None:
        self.order = order
        self.mailbox.write_order(order)


class Pool:
    """All workers of a workspace. The scheduler is the only one to use it."""

    def __init__(self, workspace: Workspace, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._workspace = workspace
        self._command = tuple(command)
        self.workers: dict[str, Worker] = {}

    def adopt(self) -> None:
        """Take over the workers that an earlier scheduler left behind, alive or not."""
        for folder in sorted(self._workspace.workers.glob("[!.]*")):
            mailbox = Mailbox(folder)
            if mailbox.is_copied():
                _LOG.warning("%s is of another workspace, of which this is a copy: left alone", folder.name)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                slot = mailbox.read_slot()
            except (FileNotFoundError, DataError) as error:
                _LOG.warning("a worker's folder is given up: %s", " ".join(str(error).split()))
                shutil.rmtree(folder, ignore_errors=True)
                continue
            order = Watched(mailbox.inbox, parse_order).read()
            worker = Worker(folder.name, slot, mailbox, order or Order())
            self.workers[worker.worker_id] = worker
            _LOG.info("adopted worker %s (%s)", worker.worker_id, "alive" if worker.alive() else "dead")

    def spawn(self, slot: Slot, threads: int) -> Worker:
        """Start a worker in a slot; it imports what runs need while it waits for its first."""
        worker = start_worker(self._workspace, self._command, slot.name, slot, threads)
        self.workers[worker.worker_id] = worker
        _LOG.info("started worker %s, pid %d", worker.worker_id, worker.child.pid)
        return worker

    def forget(self, worker: Worker) -> None:
        """Drop a dead worker and its folder."""
        del self.workers[worker.worker_id]
        shutil.rmtree(worker.mailbox.path, ignore_errors=True)

    def dismiss_all(self) -> None:
        """Ask every worker to leave."""
        for worker in self.workers.values():
            worker.dismiss()


def start_worker(
    workspace: Workspace,
    command: Sequence[str],
    prefix: str,
    slot: Slot,
    threads: int,
    *,
    stdin: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> Worker:
    """Start a worker process in a session of its own, with a mailbox of its own; its name begins with ``prefix``."""
    worker_id = f"{prefix}-{secrets.token_hex(4)}"
    mailbox = Mailbox(workspace.workers / worker_id)
    mailbox.write_slot(slot)
    order = Order(given=Instant.now())
    mailbox.write_order(order)
    with open(mailbox.console, "ab") as console:
        child = subprocess.Popen(
            (*command, str(workspace.root), worker_id),
            stdin=stdin,
            stdout=console,
            stderr=console,
            env=worker_environment(slot, threads),
            cwd=workspace.root,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    return Worker(worker_id, slot, mailbox, order, child)


def worker_environment(slot: Slot, threads: int, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a worker: ``inherited``, and what cannot be set after a process has started."""
    own = {
        **MALLOC,
        "OMP_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": slot.gpu or "",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**inherited, **own}


def tail(console: Path, lines: int = 3) -> str:
    """The last lines of a console file that say anything, joined; empty when there are none.

    After a fatal error the interpreter dumps its stacks: the words are those before.
    """
    try:
        with open(console, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    said, fatal, dump = text.rpartition(_FATAL)
    words = f"{said}{fatal}{dump.partition(chr(10))[0]}" if fatal else text
    spoken = [line.strip() for line in words.splitlines() if line.strip()]
    return " / ".join(line[:200] for line in spoken[-lines:])
