"""Runs executed one after another for a command that waits for them, without the queue's scheduler.

The same directories, attempts and journals as in the queue, so that the result is a run like any other. The command
claims its runs, writes their control journals in the scheduler's place, and owns one worker process that ends with it.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from engine.launch import requests
from engine.launch.claims import Claim, close_abandoned, list_claimed, settle_abandoned, take_claim
from engine.launch.entry import say
from engine.launch.mailbox import Mailbox, Slot, Watched, parse_card
from engine.launch.occupancy import Occupancy
from engine.launch.scheduler import ensure_running
from engine.launch.slots import choose_slots, find_slots, misfit
from engine.launch.status import pause_reason, read_status
from engine.launch.submit import reallot
from engine.launch.tickets import has_ticket, ticketed
from engine.launch.workers import Worker, start_worker, tail
from engine.spec.run import RunSpec
from store.errors import ConfigError, DataError, OdysseyError, WorkspaceError
from store.journal import read_events
from store.run_dir import RunDir, create_run
from store.run_state import RunState
from store.space import LEAST_BYTES, look_at
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)
COMMAND = (sys.executable, "-P", "-m", "engine.bound_worker")
LOOK_S = 0.1
PREFIX = ".foreground-"
"""Schedulers adopt what is in ``workers`` and not hidden."""
LEAVE_S = 20.0
"""A worker told to leave has this long; it has nothing to save any more."""


@dataclass(frozen=True)
class Moment:
    """What a run does now."""

    spec: RunSpec
    state: RunState
    values: Mapping[str, float]
    """The newest value of every metric of the attempt."""
    note: str = ""
    """What a reader should know besides, of a run that somebody else executes."""


Look = Callable[[Moment], None]


@dataclass
class Reader:
    """A run's state and newest metrics; a second look reads only what is new."""

    run: RunDir
    attempt: int = 0
    offset: int = 0
    values: dict[str, float] = field(default_factory=dict)

    def look(self, spec: RunSpec, note: str = "") -> Moment:
        state = self.run.state()
        if state.attempt != self.attempt:
            self.attempt, self.offset, self.values = state.attempt, 0, {}
        if self.attempt:
            events, self.offset = read_events(self.run.attempt(self.attempt).events, self.offset)
            for event in events:
                if event["event"] == "metric":
                    self.values.update(event.get("values") or {})
        return Moment(spec, state, dict(self.values), note)


class Foreground:
    """Executes ``specs`` (in dependency order) in the calling process's foreground. A context manager.

    ``elsewhere`` says which of them the queue or another command has: those are followed, not executed.
    """

    def __init__(self, workspace: Workspace, specs: Sequence[RunSpec], *, command: Sequence[str] = COMMAND) -> None:
        self.specs = tuple(specs)
        self.elsewhere: dict[str, str] = {}
        self._workspace = workspace
        self._command = tuple(command)
        self._claims: dict[str, Claim] = {}
        self._worker: Worker | None = None
        self._stop: str | None = None
        self._killed = False
        self._wake = threading.Event()
        self._did: list[str] = []

    def __enter__(self) -> Foreground:
        self._workspace.require_writable()
        room = look_at(self._workspace.root)
        if room.free_bytes < LEAST_BYTES:
            raise WorkspaceError(str(room), "Free some space there first.")
        settle_abandoned(self._workspace)
        _sweep(self._workspace)
        _check_machine([spec for spec in self.specs if not self.done(spec)])
        try:
            for spec in self.specs:
                run = create_run(self._workspace, spec.model_dump(mode="json"))
                if run.state().state != "done":
                    self._take(spec.run_id)
                if spec.run_id in self._claims:
                    reallot(run, spec)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dismiss()
        self._release()
        self._hand_over()

    def stop(self, reason: str) -> None:
        """Stop the run at its next safe point and execute no more; again: at once. Safe in a signal handler."""
        self._killed = self._stop is not None
        self._stop = self._stop or reason
        self._wake.set()

    @property
    def stopped(self) -> bool:
        return self._stop is not None

    def done(self, spec: RunSpec) -> bool:
        """Whether a run is done."""
        run = self._workspace.run(spec.run_id)
        return run.exists() and run.state().state == "done"

    def work(self, look: Look) -> RunState | None:
        """Execute or follow every run that is not done, calling ``look`` ten times a second.

        Returns None when all are done, else the state of the run that ended otherwise. After ``stop`` it returns early.
        """
        left = [spec for spec in self.specs if not self.done(spec)]
        while left and not self.stopped:
            spec = self._next(left)
            state = self._follow(spec, look) if spec.run_id in self.elsewhere else self._execute(spec, look)
            if state.state != "done":
                return state
            left.remove(spec)
        return None

    def _take(self, run_id: str) -> None:
        """Claim a run unless the queue or another command has it."""
        claim = take_claim(self._workspace, run_id)
        if claim is None:
            self.elsewhere[run_id] = "another command runs it"
        elif has_ticket(self._workspace, run_id) or run_id in requests.list_retrying(self._workspace):
            claim.release()
            self.elsewhere[run_id] = f"the queue has it ({self._workspace.run(run_id).state().state})"
        else:
            self._claims[run_id] = claim

    def _next(self, left: Sequence[RunSpec]) -> RunSpec:
        """Own work that can begin goes first: whoever has the rest may wait for it."""
        waiting = {spec.run_id for spec in left}
        ready = [s for s in left if s.run_id in self._claims and not waiting.intersection(s.needs)]
        return ready[0] if ready else left[0]

    # Following

    def _follow(self, spec: RunSpec, look: Look) -> RunState:
        run_id = spec.run_id
        reader = Reader(self._workspace.run(run_id))
        while True:
            in_queue = has_ticket(self._workspace, run_id) or run_id in requests.list_retrying(self._workspace)
            claimed = run_id in list_claimed(self._workspace)
            if in_queue:
                ensure_running(self._workspace)
            paused = pause_reason(self._workspace) if in_queue else None
            moment = reader.look(spec, f"the queue is paused: {paused}" if paused else "")
            look(moment)
            if moment.state.state == "held" or self.stopped or not (in_queue or claimed):
                return moment.state
            self._wake.wait(LOOK_S)

    # Executing

    def _execute(self, spec: RunSpec, look: Look) -> RunState:
        run = self._workspace.run(spec.run_id)
        close_abandoned(self._workspace, spec.run_id)
        worker = self._hire()
        before = run.state()
        if before.attempt:
            say(run, "retried", attempt=before.attempt + 1, by="user")
        attempt = run.new_attempt().number
        say(run, "assigned", attempt=attempt, worker=worker.worker_id)
        worker.assign(spec.run_id, attempt)
        self._did.append(spec.run_id)
        reader = Reader(run)
        while worker.alive() and worker.busy:
            self._pass_on(worker, self._claims[spec.run_id])
            look(reader.look(spec))
            self._wake.wait(LOOK_S)
        state = self._conclude(run, attempt, worker)
        look(reader.look(spec))
        return state

    def _pass_on(self, worker: Worker, claim: Claim) -> None:
        """Pass a wish to stop on to the worker."""
        if self._stop is None and claim.stop_asked():
            self._stop = "cancelled on request"
        if self._stop is not None and worker.order.stop is None:
            worker.stop(self._stop)
            self._wake.clear()
        if self._killed and not worker.killed:
            worker.kill()

    def _conclude(self, run: RunDir, attempt: int, worker: Worker) -> RunState:
        """The state a run ended in; one whose worker died without a word is lost, or cancelled if that was wanted."""
        state = run.state()
        if state.finished:
            return state
        worker.alive()  # collects how it ended
        said = tail(run.attempt(attempt).console)
        reason = f"{worker.ending()}: {said}" if said else worker.ending()
        if self._stop is not None:
            say(run, "cancelled", attempt=attempt, reason=f"{self._stop}; {worker.ending()}")
        else:
            say(run, "lost", attempt=attempt, reason=reason, hint=worker.advice())
        return run.state()

    def _hire(self) -> Worker:
        """The worker, started anew if it left or died."""
        if self._worker is not None and self._worker.available:
            return self._worker
        self._dismiss()
        slot = _choose_slot(self._workspace, self.specs)
        threads = max(slot.threads, *(spec.resources.cpu_threads for spec in self.specs))
        self._worker = start_worker(
            self._workspace,
            self._command,
            f"{PREFIX}{os.getpid()}",
            slot,
            threads,
            stdin=subprocess.PIPE,
            pass_fds=[claim.descriptor for claim in self._claims.values()],
        )
        return self._worker

    def _dismiss(self) -> None:
        """Have the worker leave, at once if it does not."""
        worker, self._worker = self._worker, None
        if worker is None or worker.child is None:
            return
        if worker.alive():
            try:
                worker.dismiss()
            except OdysseyError:
                # A disk on which even this cannot be written; the worker has nothing left to save.
                worker.kill()
        try:
            worker.child.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.child.wait()
        if worker.child.stdin is not None:
            worker.child.stdin.close()
        shutil.rmtree(worker.mailbox.path, ignore_errors=True)

    def _release(self) -> None:
        for run_id, claim in self._claims.items():
            try:
                close_abandoned(self._workspace, run_id)
            except OdysseyError:
                claim.leave()
            else:
                claim.release()
        self._claims.clear()

    def _hand_over(self) -> None:
        """Have the queue look again at runs that waited for what was done here."""
        if any(self._needs_any(self._workspace.run(run_id)) for run_id in ticketed(self._workspace)):
            ensure_running(self._workspace)

    def _needs_any(self, run: RunDir) -> bool:
        try:
            needs = run.spec().get("needs") or ()
        except DataError:
            return False
        return any(need in needs for need in self._did)


def _choose_slot(workspace: Workspace, specs: Sequence[RunSpec]) -> Slot:
    """Slots for the widest run, as one; those that the scheduler does not use, if they do."""
    slots = find_slots(runs_per_gpu=workspace.settings.runs_per_gpu)
    number = max(spec.resources.ranks_per_node for spec in specs)
    status = read_status(workspace)
    taken = {slot.name for slot in status.slots if slot.run_id} if status and status.identity.alive() else set()
    occupancy = Occupancy(workspace, slots)
    occupancy.look()
    free = [slot for slot in slots if slot.name not in taken]
    best = [slot for slot in free if slot.gpu not in occupancy.busy]
    tried = (choose_slots(chosen, number, slots) for chosen in (best, free, slots))
    return next((slot for slot in tried if slot is not None), slots[0])


def _check_machine(specs: Sequence[RunSpec]) -> None:
    slots = find_slots()
    for spec in specs:
        if lacking := misfit(spec.resources, slots):
            several = "Launch it: the queue says how to start it."
            raise ConfigError(
                f"{spec.name} wants {lacking}",
                several if spec.resources.nodes > 1 else "Lower processes or gpus_per_run under resources.",
            )


def _sweep(workspace: Workspace) -> None:
    """Remove the mailboxes of workers whose command was killed."""
    for folder in workspace.workers.glob(f"{PREFIX}*"):
        try:
            card = Watched(Mailbox(folder).card, parse_card).read()
        except OdysseyError:
            continue
        if card is not None and not card.identity.alive():
            shutil.rmtree(folder, ignore_errors=True)
