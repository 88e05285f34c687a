"""How far the queue is and when it will be empty: measured by the scheduler, read by everyone through its status."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from engine.launch.eta import Pace, makespan
from engine.launch.experiments import read_launches
from engine.launch.mailbox import Slot
from engine.launch.process import Identity
from engine.launch.status import SlotStatus, Status, write_status
from engine.spec.run import RunSpec
from store.errors import DataError
from store.journal import read_events
from store.run_dir import RunDir
from store.workspace import Workspace

if TYPE_CHECKING:
    from engine.launch.dispatcher import Dispatcher
    from engine.launch.entry import Entry

_LOG = logging.getLogger(__name__)

END_BYTES = 4096
"""The last event of a journal is within these."""
LONG_ENOUGH_S = 5.0
"""A run's own estimate counts for others after this: at first it is of opening files and filling caches."""


class Progress:
    """Counts the runs of the experiments in the queue, done ones included, and expects the rest."""

    def __init__(self, workspace: Workspace, slots: Sequence[Slot]) -> None:
        self._workspace = workspace
        self._slots = slots
        self._identity = Identity.current()
        self._pace = Pace("cpu" if slots[0].gpu is None else "gpu")
        self._specs: dict[str, RunSpec] = {}
        self._done: set[str] = set()
        self._launches = -1

    def observe(self, spec: RunSpec, run: RunDir) -> None:
        """Learn from a run that has ended."""
        state = run.state()
        if state.state != "done":
            return
        self._specs[spec.run_id] = spec
        self._done.add(spec.run_id)
        took_s = measured_s(run, state.attempt)
        if took_s is not None:
            self._pace.observe(spec, took_s)

    def write(self, dispatcher: Dispatcher | None) -> None:
        """Write ``scheduler.json``."""
        if dispatcher is None:
            write_status(self._workspace, Status(self._identity, tuple(_show(slot, None, {}) for slot in self._slots)))
            return
        assigned = dispatcher.assigned
        running = {place: entry for entry in assigned for place in entry.worker.slot.places}
        on_cluster = dispatcher.on_cluster
        placed = [entry for entry in on_cluster if entry.job.running]
        queued = [*(entry for entry in on_cluster if not entry.job.running), *dispatcher.queued()]
        held = [entry for entry in dispatcher.entries.values() if entry.waiting == "held"]
        self._meet(dispatcher)
        self._pace.suppose(_foretold(assigned))
        remaining = {entry.run_id: self._remaining_s(entry) for entry in (*assigned, *placed)}
        specs = [entry.spec for entry in queued]
        widths = {entry.run_id: len(entry.worker.slot.places) for entry in assigned}
        expect = self._pace.expect
        done_s = sum(expect(self._specs[run_id]) for run_id in self._done)
        total_s = done_s + sum(expect(entry.spec) for entry in dispatcher.entries.values())
        done_s += sum(max(0.0, expect(entry.spec) - remaining[entry.run_id]) for entry in (*assigned, *placed))
        # A cluster's queue may take any time: as if as many went on at a time there as do now.
        at_once = len(self._slots) if not on_cluster else len(assigned) + max(1, len(placed))
        status = Status(
            identity=self._identity,
            slots=(
                *(_show(slot, running.get(slot.name), dispatcher.busy_slots) for slot in self._slots),
                *(SlotStatus(entry.job.place, None, entry.run_id, entry.attempt) for entry in placed),
            ),
            queued=tuple(spec.run_id for spec in specs),
            held=tuple(entry.run_id for entry in held),
            finished=len(self._done),
            total=len(self._done) + len(dispatcher.entries),
            share=done_s / total_s if total_s else 1.0,
            eta_s=makespan(remaining, specs, at_once, expect, widths),
            updated=time.time(),
            silence=dispatcher.silence,
        )
        write_status(self._workspace, status)

    def _meet(self, dispatcher: Dispatcher) -> None:
        """Once per launch: which runs of the experiments in the queue were done before."""
        launches = len(list(self._workspace.experiments.glob("[!.]*.json")))
        if launches == self._launches:
            return
        self._launches = launches
        for launched in read_launches(self._workspace):
            if not dispatcher.entries.keys() & set(launched.runs):
                continue
            for run_id in launched.runs:
                run = self._workspace.run(run_id)
                if run_id not in self._specs and run_id not in dispatcher.entries and run.exists():
                    self._observe_earlier(run)

    def _observe_earlier(self, run: RunDir) -> None:
        try:
            spec = RunSpec.model_validate(run.spec())
        except (DataError, ValidationError) as error:
            _LOG.warning("run %s is left out of the estimate: %s", run.run_id, " ".join(str(error).split())[:300])
            return
        self.observe(spec, run)

    def _remaining_s(self, entry: Entry) -> float:
        state = entry.run.state()
        if state.eta_s is not None:
            return state.eta_s
        ran_s = entry.worker.occupied_s if entry.worker is not None else time.time() - (state.started or time.time())
        return max(1.0, self._pace.expect(entry.spec) - ran_s)


def measured_s(run: RunDir, attempt: int) -> float | None:
    """Seconds that a done attempt says it took; the times of its events would hold any setting of the clock."""
    journal = run.attempt(attempt).events
    events, _ = read_events(journal, max(0, journal.stat().st_size - END_BYTES)) if journal.exists() else ([], 0)
    done = [event["seconds"] for event in events if event["event"] == "done" and "seconds" in event]
    return float(done[-1]) if done else None


def _foretold(running: Iterable[Entry]) -> Iterator[tuple[RunSpec, float]]:
    """Running runs with the seconds they say they will have taken in all, once they have run long enough to know."""
    for entry in running:
        state, ran = entry.run.state(), entry.worker.occupied_s
        if state.eta_s is not None and ran > LONG_ENOUGH_S:
            yield entry.spec, ran + state.eta_s


def _show(slot: Slot, entry: Entry | None, busy: Mapping[str, str]) -> SlotStatus:
    if entry is None:
        return SlotStatus(slot.name, slot.gpu, busy=busy.get(slot.name, ""))
    return SlotStatus(slot.name, slot.gpu, entry.run_id, entry.attempt, busy.get(slot.name, ""))
