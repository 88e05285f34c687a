"""The scheduler's decisions: what may start, what must wait and why.

All state that matters is in files; a new dispatcher rebuilds itself from them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.code import hash_sources
from engine.launch.desk import Desk
from engine.launch.endings import Endings
from engine.launch.entry import Entry
from engine.launch.experiments import Wanting
from engine.launch.hiring import Hiring
from engine.launch.mailbox import Slot
from engine.launch.occupancy import Occupancy
from engine.launch.pauses import Pauses
from engine.launch.roster import Roster
from engine.launch.slurm.backend import Patience, SlurmBackend
from engine.launch.slurm.verdicts import Verdicts
from engine.launch.workers import WORKER_COMMAND, Pool, Worker
from engine.spec.run import RunSpec
from store.run_dir import RunDir
from store.space import LEAST_BYTES, look_at
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """Patience, in seconds."""

    early_death_s: float = 10.0
    """What ends sooner after it was handed over is early: some in a row pause their experiment, or the queue."""
    stop_grace_s: float = 30.0
    """A run asked to stop has this long before its worker is killed."""
    cluster: Patience = field(default_factory=Patience)
    """With a Slurm cluster."""


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
        self.pool = Pool(workspace, command)
        self._workspace = workspace
        self._pauses = Pauses(workspace)
        self._roster = Roster(
            workspace,
            self.slots,
            self.pool,
            ended=ended,
            vanished=lambda entry: self._endings.vanished(entry),
            adopt=lambda entry: self._slurm.adopt(entry),
        )
        self._needs = self._roster.needs
        self._wanting = Wanting(workspace)
        self._endings = Endings(
            self._roster, self._pauses, self._wanting, timing.early_death_s, workspace.settings.retries
        )
        verdicts = Verdicts(self._roster, self._endings)
        self._slurm = SlurmBackend(workspace, self.entries.values, verdicts, timing.cluster)
        self._desk = Desk(workspace, self._roster, self._endings, self._pauses, self._slurm, timing.stop_grace_s)
        self._hiring = Hiring(self.pool, self.slots, Occupancy(workspace, self.slots))
        self.code = hash_sources()
        """Hash of the sources on the disk, with which a worker must have begun to be given a run."""
        self._stop_grace_s = timing.stop_grace_s
        self._was_paused = False
        self.pool.adopt()

    @property
    def paused(self) -> bool:
        return self._pauses.queue

    @property
    def entries(self) -> dict[str, Entry]:
        """All runs in the queue, by identifier."""
        return self._roster.entries

    @property
    def known(self) -> set[str]:
        """Runs with a ticket that were looked at, those that cannot be queued included."""
        return self._roster.known

    @property
    def assigned(self) -> list[Entry]:
        """Entries whose run is with a worker."""
        return self._roster.assigned

    def queued(self) -> list[Entry]:
        """Entries that wait for a slot or for what they need, in the order of the queue."""
        return self._roster.queued()

    @property
    def on_cluster(self) -> list[Entry]:
        """Entries whose run is in a Slurm cluster's hands."""
        return self._slurm.entries()

    @property
    def silence(self) -> str:
        """Why the cluster does not answer; empty while it does."""
        return self._slurm.silence

    @property
    def busy(self) -> bool:
        """Whether a run runs, or one could start."""
        return not self.resting or self._slurm.active or any(entry.on_cluster for entry in self._ready())

    @property
    def resting(self) -> bool:
        """Whether nothing runs or could start on this machine."""
        return not self.assigned and not self._could_start()

    @property
    def busy_slots(self) -> Mapping[str, str]:
        """Who else uses slots that are left to them, by name of slot."""
        return self._hiring.busy

    def tick(self) -> bool:
        """Look at requests, tickets and workers once, and act."""
        changed = self._roster.look_at_claims()
        changed |= self._desk.handle()
        changed |= self._roster.read_tickets()
        changed |= self._poll_workers()
        changed |= self._slurm.poll(self._parked)
        changed |= self._roster.drop_ended_elsewhere()
        changed |= self._hiring.look(self.assigned, self._could_start)
        paused = self.paused
        if not changed and not self._roster.dirty and paused == self._was_paused:
            return False
        self._roster.dirty, self._was_paused = False, paused
        self._hold()
        if not paused:
            self._start()
        return True

    def _could_start(self) -> bool:
        """Whether a run could start on this machine."""
        return any(not entry.on_cluster for entry in self._ready())

    def _ready(self) -> list[Entry]:
        """Entries that wait for nothing but a place."""
        return [] if self.paused else [entry for entry in self._startable() if self._needs.met(entry)]

    def _startable(self) -> list[Entry]:
        """Entries of ``queued`` that no paused experiment keeps back."""
        return [entry for entry in self.queued() if not self._keeps_back(entry)]

    def _parked(self, entry: Entry) -> bool:
        """Whether a job that waits in Slurm should not start for now."""
        return self.paused or entry.ticket.held or self._keeps_back(entry)

    def _keeps_back(self, entry: Entry) -> bool:
        """Whether every experiment that wants the run is paused."""
        paused = self._pauses.experiments.keys()
        return entry.spec.experiment in paused and self._wanting.names(entry.run_id) <= paused

    def _poll_workers(self) -> bool:
        changed = False
        by_worker = {entry.worker.worker_id: entry for entry in self.assigned}
        for worker in list(self.pool.workers.values()):
            entry = by_worker.get(worker.worker_id)
            alive = worker.alive()
            if entry is not None and (not alive or not worker.busy):
                self._endings.conclude(entry, worker, alive)
                changed = True
            elif entry is not None and entry.cancelling and entry.cancel_by is None:
                # Asked by a scheduler that has gone.
                entry.cancel_by = time.monotonic() + self._stop_grace_s
            elif entry is not None and entry.cancel_by is not None and time.monotonic() > entry.cancel_by:
                _LOG.warning("run %s did not stop: killing worker %s", entry.run_id, worker.worker_id)
                worker.kill()
                entry.cancel_by = float("inf")
            elif entry is None and not alive:
                self._endings.bury(worker)
                changed = True
            elif entry is None and worker.slot.joined and worker.available:
                worker.dismiss()
            if not alive:
                self.pool.forget(worker)
        return changed

    def _hold(self) -> None:
        """Hold what waits for a run that will not come; let go what no longer does."""
        progressed = True
        while progressed:
            progressed = False
            for entry in self.entries.values():
                if entry.placed or entry.elsewhere:
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
            self._pauses.pause(f"{room}; `odyssey resume` once there is")
            return
        self._dismiss_outdated()
        self._roster.dirty |= self._slurm.submit([entry for entry in self._ready() if entry.on_cluster])
        self._hiring.begin(self.assigned)
        waiting = [entry for entry in self._startable() if not entry.on_cluster]
        for entry in waiting:
            if self._hiring.full:
                break
            if not self._needs.met(entry):
                continue
            worker = self._hiring.hire(entry)
            if worker is None:
                # What becomes free is kept for it: nothing that was queued later gets ahead.
                break
            self._assign(entry, worker)
        left = [entry for entry in waiting if entry.worker is None]
        self._hiring.warm_up(left, self.assigned)

    def _dismiss_outdated(self) -> None:
        """Workers that began with other sources than are on the disk now must not execute another run."""
        for worker in self.pool.workers.values():
            if worker.code not in ("", self.code) and worker.available:
                _LOG.info("worker %s has other code in memory than is on the disk: it leaves", worker.worker_id)
                worker.dismiss()

    def _assign(self, entry: Entry, worker: Worker) -> None:
        attempt = entry.run.new_attempt().number
        entry.say("assigned", attempt=attempt, worker=worker.worker_id)
        worker.assign(entry.run_id, attempt)
        entry.worker, entry.attempt = worker, attempt
        _LOG.info("run %s, attempt %d: to worker %s", entry.run_id, attempt, worker.worker_id)
