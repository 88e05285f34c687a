"""Who executes a run that may start: which slots it takes, and which worker."""

from __future__ import annotations

from collections.abc import Sequence

from engine.launch.entry import Entry
from engine.launch.mailbox import Slot
from engine.launch.slots import choose_slots
from engine.launch.workers import Pool, Worker


class Hiring:
    """Gives runs workers: a warm one to a run of one process, a new one to a run of several."""

    def __init__(self, pool: Pool, slots: Sequence[Slot]) -> None:
        self._pool = pool
        self._slots = tuple(slots)
        self._cores = None if slots[0].gpu is not None else len(slots)
        self._taken: set[str] = set()
        self._threads = 0

    def begin(self, running: Sequence[Entry]) -> None:
        """Look at what the runs that run take up."""
        self._taken = {place for entry in running for place in entry.worker.slot.places}
        self._threads = sum(entry.threads for entry in running)

    @property
    def full(self) -> bool:
        return len(self._taken) == len(self._slots)

    def hire(self, entry: Entry) -> Worker | None:
        """A worker for the run; None while too few slots or cores are free for it."""
        if self._cores is not None and self._taken and self._threads + entry.threads > self._cores:
            return None
        free = [slot for slot in self._slots if slot.name not in self._taken]
        slot = choose_slots(free, entry.spec.resources.ranks_per_node)
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
        free = [slot for slot in self._slots if slot.name not in used]
        for slot in free[: max(0, waiting - idle)]:
            self._pool.spawn(slot, slot.threads)

    def _hire_for_one(self, entry: Entry, slot: Slot) -> Worker:
        """A warm worker in any free slot, or a new one in ``slot``."""
        workers = self._pool.workers.values()
        free = [w for w in workers if not (w.slot.joined or w.slot.name in self._taken) and w.available]
        if free:
            return max(free, key=lambda candidate: candidate.warm)
        return self._pool.spawn(slot, max(slot.threads, entry.spec.resources.cpu_threads))

    def _hire_for_several(self, slot: Slot) -> Worker:
        """A new worker over several slots: it only watches the processes of its one run."""
        for worker in self._pool.workers.values():
            # A worker that has computed on a GPU holds some of its memory for as long as it lives.
            if slot.gpu is not None and worker.slot.name in slot.places and worker.available:
                worker.dismiss()
        return self._pool.spawn(slot, slot.threads)
