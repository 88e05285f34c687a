"""Who executes a run that may start: which slots it takes, and which worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from engine.launch.entry import Entry
from engine.launch.mailbox import Slot
from engine.launch.occupancy import Occupancy
from engine.launch.slots import choose_slots
from engine.launch.workers import Pool, Worker

REST_S = 30.0
"""An idle worker that has computed on a GPU holds some of its memory: it leaves after this."""


class Hiring:
    """Gives runs workers: a warm one to a run of one process, a new one to a run of several."""

    def __init__(
        self,
        pool: Pool,
        slots: Sequence[Slot],
        occupancy: Occupancy,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._slots = tuple(slots)
        self._occupancy = occupancy
        self._clock = clock
        self._known = {(slot.name, slot.gpu) for slot in slots}
        self._cores = None if slots[0].gpu is not None else len(slots)
        self._taken: set[str] = set()
        self._threads = 0
        self._idle_since: dict[str, float] = {}

    @property
    def busy(self) -> Mapping[str, str]:
        """Who uses the slots that other people's processes keep from the queue, by name of slot."""
        words = self._occupancy.busy
        return {slot.name: words[slot.gpu] for slot in self._slots if slot.gpu in words}

    def look(self, running: Sequence[Entry], could_start: Callable[[], bool]) -> bool:
        """Let idle workers go whose GPU somebody else wants, and notice GPUs that became busy or free.

        Returns whether one did. The driver is asked only while a run could start or an idle worker sits on a GPU.
        """
        if self._cores is not None:
            return False
        idle = self._rest({entry.worker.worker_id for entry in running})
        running_on = {place for entry in running for place in entry.worker.slot.places}
        room = any(slot.name not in running_on for slot in self._slots)
        return self._occupancy.look() if idle or (room and could_start()) else False

    def begin(self, running: Sequence[Entry]) -> None:
        """Look at what the runs that run, and other people, take up."""
        self._taken = {place for entry in running for place in entry.worker.slot.places}
        # Runs adopted from a scheduler that divided the GPUs in another way have the whole of theirs.
        odd = {entry.worker.slot.gpu for entry in running if self._is_odd(entry.worker)}
        self._taken.update(slot.name for slot in self._slots if slot.gpu is not None and slot.gpu in odd)
        self._taken.update(self.busy)
        for worker in self._pool.workers.values():
            if self._is_odd(worker) and worker.available:
                worker.dismiss()
        self._threads = sum(entry.threads for entry in running)

    @property
    def full(self) -> bool:
        return all(slot.name in self._taken for slot in self._slots)

    def hire(self, entry: Entry) -> Worker | None:
        """A worker for the run; None while too few slots or cores are free for it."""
        if self._cores is not None and self._taken and self._threads + entry.threads > self._cores:
            return None
        free = [slot for slot in self._slots if slot.name not in self._taken]
        slot = choose_slots(free, entry.spec.resources.ranks_per_node, self._slots)
        if slot is None:
            return None
        worker = self._hire_for_several(slot) if slot.joined else self._hire_for_one(entry, slot)
        self._taken.update(worker.slot.places)
        self._threads += entry.threads
        return worker

    def warm_up(self, queued: Sequence[Entry], running: Sequence[Entry]) -> None:
        """Start workers for runs that still wait, so that imports happen meanwhile."""
        waiting = sum(entry.spec.resources.ranks_per_node == 1 for entry in queued)
        used = {place for worker in self._pool.workers.values() for place in worker.slot.places}
        idle = len(used) - sum(len(entry.worker.slot.places) for entry in running)
        free = [slot for slot in self._slots if slot.name not in used | self.busy.keys()]
        for slot in free[: max(0, waiting - idle)]:
            self._pool.spawn(slot, slot.threads)

    def _hire_for_one(self, entry: Entry, slot: Slot) -> Worker:
        """A warm worker in any free slot, or a new one in ``slot``."""
        free = [worker for worker in self._pool.workers.values() if self._is_free(worker)]
        if free:
            return max(free, key=lambda candidate: candidate.warm)
        return self._pool.spawn(slot, max(slot.threads, entry.spec.resources.cpu_threads))

    def _is_free(self, worker: Worker) -> bool:
        joined, taken = worker.slot.joined, worker.slot.name in self._taken
        return not (joined or taken or self._is_odd(worker)) and worker.available

    def _is_odd(self, worker: Worker) -> bool:
        """Whether its slot is none of the slots, as there are now."""
        return not worker.slot.joined and (worker.slot.name, worker.slot.gpu) not in self._known

    def _hire_for_several(self, slot: Slot) -> Worker:
        """A new worker over several slots: it only watches the processes of its one run."""
        for worker in self._pool.workers.values():
            # A worker that has computed on a GPU holds some of its memory for as long as it lives.
            if slot.gpu is not None and worker.slot.name in slot.places and worker.available:
                worker.dismiss()
        return self._pool.spawn(slot, slot.threads)

    def _rest(self, working: set[str]) -> list[Worker]:
        """Idle workers that have computed, after those were told to leave that should."""
        now = self._clock()
        idle = [w for w in self._pool.workers.values() if w.worker_id not in working and w.order.seq and w.available]
        self._idle_since = {worker.worker_id: self._idle_since.get(worker.worker_id, now) for worker in idle}
        for worker in idle:
            rested = now - self._idle_since[worker.worker_id] > REST_S
            if rested or worker.slot.gpu in self._occupancy.busy:
                worker.dismiss()
        return idle
