"""The scheduler's decisions: what may start, what must wait and why, what to do when a worker dies.

All state that matters is in files; a new dispatcher rebuilds itself from them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from engine.launch.claims import ask_to_stop, list_claimed, settle_abandoned
from engine.launch.entry import Entry, say
from engine.launch.hiring import Hiring
from engine.launch.mailbox import TOLD_TO_END, Slot
from engine.launch.needs import UNMENDABLE, Needs
from engine.launch.requests import Request, read_requests
from engine.launch.tickets import Ticket, read_ticket, remove_ticket, ticketed, write_ticket
from engine.launch.together import ask_to_stop as stop_together
from engine.launch.workers import WORKER_COMMAND, Pool, Worker, tail
from engine.spec.run import RunSpec
from store.errors import DataError
from store.files import write_json
from store.run_dir import RunDir
from store.space import LEAST_BYTES, NO_SPACE, look_at
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """Patience, in seconds."""

    early_death_s: float = 10.0
    """A worker that dies sooner after being given a run, twice in a row, pauses the queue."""
    stop_grace_s: float = 30.0
    """A run asked to stop has this long before its worker is killed."""


class Dispatcher:
    """Call ``tick`` again and again; it returns whether anything happened."""

    def __init__(
        self,
        workspace: Workspace,
        slots: Sequence[Slot],
        *,
        command: Sequence[str] = WORKER_COMMAND,
        timing: Timing = Timing(),
        ended: Callable[[RunSpec, RunDir], None] = lambda spec, run: None,
    ) -> None:
        self.slots = tuple(slots)
        self.entries: dict[str, Entry] = {}
        self.pool = Pool(workspace, command)
        self._workspace = workspace
        self._timing = timing
        self._ended = ended
        self._needs = Needs(workspace, self.slots, self.entries)
        self._hiring = Hiring(self.pool, self.slots)
        self._broken: set[str] = set()
        self._claimed: frozenset[str] = frozenset()
        self._dirty = True
        self._was_paused = False
        self._deaths = 0
        self._actions: dict[str, Callable[[Request], None]] = {
            "cancel": self._cancel,
            "retry": self._retry,
            "pause": lambda request: self._pause("asked for"),
            "resume": lambda request: self._resume(),
        }
        self.pool.adopt()

    @property
    def paused(self) -> bool:
        return self._pause_file.exists()

    @property
    def assigned(self) -> list[Entry]:
        """Entries whose run is with a worker."""
        return [entry for entry in self.entries.values() if entry.worker is not None]

    def queued(self) -> list[Entry]:
        """Entries that wait for a slot or for what they need, in the order of the queue."""
        waiting = [entry for entry in self.entries.values() if entry.waiting == "queued"]
        return sorted(waiting, key=lambda entry: entry.ticket.order)

    @property
    def busy(self) -> bool:
        """Whether a run runs, or one could start."""
        return bool(self.assigned) or (not self.paused and any(self._needs.met(entry) for entry in self.queued()))

    def tick(self) -> bool:
        """Look at requests, tickets and workers once, and act."""
        changed = self._look_at_claims()
        changed |= self._handle_requests()
        changed |= self._read_tickets()
        changed |= self._poll_workers()
        changed |= self._notice_elsewhere()
        paused = self.paused
        if not changed and not self._dirty and paused == self._was_paused:
            return False
        self._dirty, self._was_paused = False, paused
        self._hold()
        if not paused:
            self._start()
        return True

    def _look_at_claims(self) -> bool:
        """Which runs commands execute outside the queue: they are not touched, and what needs them waits."""
        settle_abandoned(self._workspace)
        before, self._claimed = self._claimed, list_claimed(self._workspace)
        for run_id in before - self._claimed:
            self._needs.forget(run_id)
        return before != self._claimed

    # Requests

    def _handle_requests(self) -> bool:
        requests = read_requests(self._workspace)
        for request in requests:
            action = self._actions.get(request.action)
            if action is None:
                _LOG.warning("unknown action %r in %s", request.action, request.path.name)
            else:
                _LOG.info("%s %s", request.action, " ".join(request.runs))
                action(request)
            request.path.unlink(missing_ok=True)
        return bool(requests)

    def _cancel(self, request: Request) -> None:
        self._read_tickets()
        for run_id in request.runs:
            entry = self.entries.get(run_id)
            if entry is None:
                if run_id in self._claimed:
                    ask_to_stop(self._workspace, run_id)
                continue
            if entry.elsewhere:
                stop_together(entry.run.latest_attempt(), "cancelled on request")
            elif entry.worker is None:
                entry.say("cancelled", reason="cancelled before it started")
                self._drop(entry)
            elif entry.cancel_by is None:
                entry.worker.stop("cancelled on request")
                entry.cancel_by = time.monotonic() + self._timing.stop_grace_s

    def _retry(self, request: Request) -> None:
        self._read_tickets()
        for run_id in request.runs:
            self._revive(run_id)
        self._read_tickets()

    def _revive(self, run_id: str) -> None:
        """Queue a finished run again; of a held one, what holds it."""
        run = self._workspace.run(run_id)
        if run_id in self.entries:
            for need in self.entries[run_id].spec.needs if self.entries[run_id].held else ():
                self._needs.forget(need)
                self._revive(need)
            return
        state = run.state()
        if state.state in UNMENDABLE and run_id not in list_claimed(self._workspace):
            say(run, "retried", attempt=state.attempt + 1, by="user")
            self._needs.forget(run_id)
            write_ticket(self._workspace, Ticket(run_id, _cost(run), time.time()))

    def _pause(self, reason: str) -> None:
        write_json(self._pause_file, {"reason": reason, "since": time.time()})

    def _resume(self) -> None:
        self._deaths = 0
        self._pause_file.unlink(missing_ok=True)

    @property
    def _pause_file(self) -> Path:
        return self._workspace.queue / "paused"

    # Tickets

    def _read_tickets(self) -> bool:
        present = ticketed(self._workspace)
        known = self.entries.keys() | self._broken
        fresh = sorted(present - known)
        claimed = list_claimed(self._workspace) if fresh else frozenset()
        for run_id in fresh:
            if run_id not in claimed:
                self._admit(run_id)
        for run_id in known - present:
            # Deleted by hand: what runs is finished with when its worker is, what waits is gone.
            self._broken.discard(run_id)
            if run_id in self.entries and self.entries[run_id].worker is None:
                del self.entries[run_id]
        return bool((present ^ known) - claimed)

    def _admit(self, run_id: str) -> None:
        run = self._workspace.run(run_id)
        try:
            ticket = read_ticket(self._workspace, run_id)
            spec = RunSpec.model_validate(run.spec())
        except (DataError, ValidationError, TypeError) as error:
            _LOG.error("run %s cannot be queued: %s", run_id, error)
            self._broken.add(run_id)
            if run.exists():
                say(run, "held", reason=f"its specification cannot be read: {' '.join(str(error).split())[:300]}")
            return
        except FileNotFoundError:
            return
        entry = Entry(ticket, spec, run)
        state = run.state()
        self.entries[run_id] = entry
        if state.finished:
            self._drop(entry)
        elif entry.elsewhere:
            entry.held = "it runs on several machines"
        elif state.state in ("starting", "running", "stopping"):
            entry.attempt = state.attempt
            entry.worker = self._holder(run_id, state.attempt)
            if entry.worker is None:
                self._lose(entry, "its worker vanished while no scheduler was there", early=False)
        elif state.state == "held":
            entry.held = state.reason
        elif state.queued is None:
            entry.say("queued")

    def _holder(self, run_id: str, attempt: int) -> Worker | None:
        """The worker that was given this attempt of the run."""
        workers = self.pool.workers.values()
        return next((w for w in workers if (w.order.run_id, w.order.attempt) == (run_id, attempt)), None)

    def _drop(self, entry: Entry) -> None:
        """Take an entry whose run is finished out of the queue."""
        self.entries.pop(entry.run_id, None)
        remove_ticket(self._workspace, entry.run_id)
        self._needs.forget(entry.run_id)
        self._ended(entry.spec, entry.run)
        self._dirty = True

    # Workers

    def _poll_workers(self) -> bool:
        changed = False
        by_worker = {entry.worker.worker_id: entry for entry in self.assigned}
        for worker in list(self.pool.workers.values()):
            entry = by_worker.get(worker.worker_id)
            alive = worker.alive()
            if entry is not None and (not alive or not worker.busy):
                self._conclude(entry, worker, alive)
                changed = True
            elif entry is not None and entry.cancel_by is not None and time.monotonic() > entry.cancel_by:
                _LOG.warning("run %s did not stop: killing worker %s", entry.run_id, worker.worker_id)
                worker.kill()
                entry.cancel_by = float("inf")
            elif entry is None and not alive:
                self._bury(worker)
                changed = True
            elif entry is None and worker.slot.joined and worker.available:
                worker.dismiss()
            if not alive:
                self.pool.forget(worker)
        return changed

    def _notice_elsewhere(self) -> bool:
        """Runs on several machines are started by hand: only their files say that they have ended."""
        ended = [e for e in self.entries.values() if e.spec.resources.nodes > 1 and e.run.state().finished]
        for entry in ended:
            self._drop(entry)
        return bool(ended)

    def _conclude(self, entry: Entry, worker: Worker, alive: bool) -> None:
        """A worker has finished with a run, or died on it."""
        state = entry.run.state()
        entry.worker = None
        if state.finished:
            self._deaths = 0
            _LOG.info("run %s: %s %s", entry.run_id, state.state, state.reason)
            self._drop(entry)
            if state.state == "failed" and state.reason.startswith(NO_SPACE):
                self._pause(state.reason)
            return
        ending = "its worker ended without saying how the run ended" if alive else worker.ending()
        lived_s = time.time() - worker.assigned_at
        if entry.cancel_by is not None:
            entry.say("cancelled", attempt=entry.attempt, reason=f"cancelled; {ending}")
            self._drop(entry)
            return
        began = entry.run.attempt(entry.attempt).events.exists()
        early = not began or (state.state != "stopping" and lived_s < self._timing.early_death_s)
        reason = self._lose(entry, f"{ending} after {lived_s:.0f} s", early=early, hint=worker.advice())
        self._count_death(early, reason)

    def _lose(self, entry: Entry, ending: str, *, early: bool, hint: str = "") -> str:
        """Journal that an attempt ended without a word, queue the run again if that is sensible; returns the reason."""
        attempt = entry.run.attempt(entry.attempt)
        said = tail(attempt.console)
        reason = f"{ending}: {said}" if said else ending
        _LOG.warning("run %s, attempt %d: %s", entry.run_id, entry.attempt, reason)
        entry.worker, entry.cancel_by = None, None
        self._dirty = True
        if not attempt.events.exists():
            # The worker never began, so the run is not to blame.
            entry.say("retried", attempt=entry.attempt + 1, by="scheduler", reason=reason)
            return reason
        if entry.run.state().reason == TOLD_TO_END:
            # It saved what it had: nothing is wrong with the run, so this counts as no retry.
            entry.say("retried", attempt=entry.attempt + 1, by="worker", reason=f"{TOLD_TO_END}; {ending}")
            return reason
        entry.say("lost", attempt=entry.attempt, reason=reason, hint=hint)
        resumable = entry.run.checkpoint("resume").exists()
        if (not early or resumable) and not entry.retried_by_scheduler():
            entry.say("retried", attempt=entry.attempt + 1, by="scheduler", reason=reason)
        else:
            self._drop(entry)
        return reason

    def _bury(self, worker: Worker) -> None:
        """An idle worker has died; that is expected of one that was told to leave."""
        if worker.order.exit or worker.child is None:
            return
        said = tail(worker.mailbox.console)
        reason = f"an idle worker: {worker.ending()}{f': {said}' if said else ''}"
        _LOG.warning("%s", reason)
        self._count_death(time.time() - worker.born < self._timing.early_death_s, reason)

    def _count_death(self, early: bool, reason: str) -> None:
        self._deaths = self._deaths + 1 if early else 0
        if self._deaths >= 2 and not self.paused:
            self._pause(f"two workers died within seconds of starting; the last: {reason}")

    # Starting

    def _hold(self) -> None:
        """Hold what waits for a run that will not come; let go what no longer does."""
        progressed = True
        while progressed:
            progressed = False
            for entry in self.entries.values():
                if entry.worker is not None or entry.elsewhere:
                    continue
                reason = self._needs.obstacle(entry)
                if reason != entry.held:
                    entry.held, progressed = reason, True
                    if reason:
                        entry.say("held", reason=reason)
                    else:
                        entry.say("queued")

    def _start(self) -> None:
        room = look_at(self._workspace.root)
        if room.free_bytes < LEAST_BYTES and self.queued():
            self._pause(f"{room}; `odyssey resume` once there is")
            return
        self._hiring.begin(self.assigned)
        for entry in self.queued():
            if self._hiring.full:
                break
            if not self._needs.met(entry):
                continue
            worker = self._hiring.hire(entry)
            if worker is None:
                # What becomes free is kept for it: nothing that was queued later gets ahead.
                break
            self._assign(entry, worker)
        self._hiring.warm_up(self.queued(), self.assigned)

    def _assign(self, entry: Entry, worker: Worker) -> None:
        attempt = entry.run.new_attempt().number
        entry.say("assigned", attempt=attempt, worker=worker.worker_id)
        worker.assign(entry.run_id, attempt)
        entry.worker, entry.attempt = worker, attempt
        _LOG.info("run %s, attempt %d: to worker %s", entry.run_id, attempt, worker.worker_id)


def _cost(run: RunDir) -> float:
    """FLOPs; 0 where the specification cannot be read, which admitting the run will say."""
    try:
        return float(run.spec().get("cost_flops", 0.0))
    except DataError:
        return 0.0
