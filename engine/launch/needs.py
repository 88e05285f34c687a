"""What a queued run waits for: the runs it needs, and a machine that has what it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.launch.entry import Entry
from engine.launch.mailbox import HELD_ON_REQUEST, Slot
from engine.launch.slots import widest
from engine.launch.together import command
from store.run_dir import RunDir
from store.workspace import Workspace

UNMENDABLE = frozenset({"failed", "cancelled", "lost"})
"""States of a needed run that hold whatever needs it."""


class Needs:
    """States of needed runs. Those outside the queue are read once, until ``forget``, if they have ended."""

    def __init__(self, workspace: Workspace, slots: Sequence[Slot], entries: Mapping[str, Entry]) -> None:
        self._workspace = workspace
        self._gpus = len({slot.gpu for slot in slots if slot.gpu is not None})
        self._widest = widest(slots)
        self._entries = entries
        self._finished: dict[str, str] = {}
        self._runs: dict[str, RunDir] = {}

    def met(self, entry: Entry) -> bool:
        """Whether everything the run needs is done."""
        return all(self._state_of(need) == "done" for need in entry.spec.needs)

    def obstacle(self, entry: Entry) -> str:
        """Why the run cannot start however long it waits; empty when it can."""
        if entry.ticket.held:
            return HELD_ON_REQUEST
        lacking = entry.refused if entry.on_cluster else self._lacking(entry)
        if lacking:
            return lacking
        for need in entry.spec.needs:
            state = self._state_of(need)
            if state in UNMENDABLE or state in ("held", "absent"):
                return f"needs {need}, which is {state}"
        return ""

    def _lacking(self, entry: Entry) -> str:
        """What it wants and this machine does not have."""
        wanted = entry.spec.resources
        if wanted.nodes > 1:
            return self._several_machines(entry)
        if wanted.gpus > self._gpus:
            return f"it wants {wanted.gpus} GPUs; this queue has {self._gpus}"
        if wanted.ranks_per_node > self._widest:
            return f"it wants {wanted.ranks_per_node} processes at a time; this queue has {self._widest} slots"
        return ""

    def _several_machines(self, entry: Entry) -> str:
        attempt = 1 + max((attempt.number for attempt in entry.run.attempts()), default=0)
        started = command(entry.spec, self._workspace, attempt)
        return f"it wants {entry.spec.resources.nodes} machines; start it on each, on a shared file system: {started}"

    def forget(self, run_id: str) -> None:
        """A run's state may have changed."""
        self._finished.pop(run_id, None)
        self._runs.pop(run_id, None)

    def _state_of(self, run_id: str) -> str:
        if run_id in self._entries:
            return self._entries[run_id].waiting
        if run_id in self._finished:
            return self._finished[run_id]
        run = self._runs.setdefault(run_id, self._workspace.run(run_id))
        if not run.exists():
            return "absent"
        state = run.state()
        if state.finished:
            self._finished[run_id] = state.state
        return state.state
