"""What a queued run waits for: the runs it needs, and a machine that has what it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.launch.entry import Entry
from engine.launch.mailbox import Slot
from store.workspace import Workspace

UNMENDABLE = frozenset({"failed", "cancelled", "lost"})
"""States of a needed run that hold whatever needs it."""


class Needs:
    """States of needed runs. Those outside the queue are read once, until ``forget``."""

    def __init__(self, workspace: Workspace, slots: Sequence[Slot], entries: Mapping[str, Entry]) -> None:
        self._workspace = workspace
        self._gpus_per_slot = int(any(slot.gpu is not None for slot in slots))
        self._entries = entries
        self._finished: dict[str, str] = {}

    def met(self, entry: Entry) -> bool:
        """Whether everything the run needs is done."""
        return all(self._state_of(need) == "done" for need in entry.spec.needs)

    def obstacle(self, entry: Entry) -> str:
        """Why the run cannot start however long it waits; empty when it can."""
        wanted = entry.spec.resources
        if wanted.gpus > self._gpus_per_slot:
            return f"it wants {wanted.gpus} GPUs; a slot here has {self._gpus_per_slot}"
        if wanted.nodes > 1:
            return f"it wants {wanted.nodes} machines; this queue has one"
        for need in entry.spec.needs:
            state = self._state_of(need)
            if state in UNMENDABLE or state in ("held", "absent"):
                return f"needs {need}, which is {state}"
        return ""

    def forget(self, run_id: str) -> None:
        """A run's state may have changed."""
        self._finished.pop(run_id, None)

    def _state_of(self, run_id: str) -> str:
        if run_id in self._entries:
            return self._entries[run_id].waiting
        if run_id in self._finished:
            return self._finished[run_id]
        run = self._workspace.run(run_id)
        if not run.exists():
            return "absent"
        state = run.state()
        if state.finished:
            self._finished[run_id] = state.state
        return state.state
