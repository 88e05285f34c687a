"""The states of all runs, look after look: of a run that waits or has ended two dates say that nothing is new."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.token_text import neutral
from store.errors import DataError
from store.run_state import RunState

if TYPE_CHECKING:
    from engine.launch.tickets import Ticket, TicketReader
    from store.run_dir import RunDir
    from store.workspace import Workspace

RESTING = frozenset({"queued", "held", "done", "failed"})
"""Left only by a word of the scheduler or with a further attempt. A lost run may yet turn out to be alive."""
UNREAD = {state: RunState(state=state) for state in ("done", "cancelled")}
"""Ends with nothing more to say."""
Signature = tuple[tuple[int, int, int], int]


class StateReader:
    """Remembers what it has read. Threads may share one."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._runs: dict[str, RunDir] = {}
        self._seen: dict[str, tuple[Signature, RunState]] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._tickets: TicketReader | None = None
        self._lock = threading.RLock()

    def read(self) -> dict[str, RunState]:
        """State by run, in the order of identifiers.

        Of runs that ended well or were cancelled, and are known to the database, nothing but that is told: ten thousand
        journals are not read for it.
        """
        from store.strays import known_copies
        from store.survey import ended_runs

        ended, copies = ended_runs(self._workspace), known_copies(self._workspace)
        names = self._workspace.run_names()
        with self._lock:
            for gone in self._runs.keys() - names:
                self._forget(gone)
            found: dict[str, RunState] = {}
            for name in sorted(names):
                if (how := ended.get(name)) in UNREAD:
                    found[name] = UNREAD[how]
                elif name not in copies and self._run(name).exists():
                    found[name] = self.state(name)
            return found

    def state(self, run_id: str) -> RunState:
        """The state of one run."""
        with self._lock:
            run = self._run(run_id)
            signature = _sign(run)
            before = self._seen.get(run_id)
            if before is not None and before[0] == signature and before[1].state in RESTING and not run.unread:
                return before[1]
            if before is not None and before[0][0][0] not in (0, signature[0][0]):
                # Another file: the run was deleted and queued anew, and what was read of it counts no more.
                self._forget(run_id)
                run = self._run(run_id)
            state = shown(run.state())
            self._seen[run_id] = signature, state
            return state

    def name(self, run_id: str) -> str:
        """The run's name; its identifier where the specification cannot be read."""
        return neutral(str(self._spec(run_id).get("name") or run_id))

    def experiment(self, run_id: str) -> str:
        """The experiment that asked for the run first; empty where the specification cannot be read."""
        return neutral(str(self._spec(run_id).get("experiment") or ""))

    def needs(self, run_id: str) -> tuple[str, ...]:
        """Runs that it needs; none where the specification cannot be read."""
        return tuple(self._spec(run_id).get("needs") or ())

    def tickets(self) -> Mapping[str, Ticket]:
        """Tickets of the queue, by run."""
        from engine.launch.tickets import TicketReader

        with self._lock:
            self._tickets = self._tickets or TicketReader(self._workspace)
            return self._tickets.read()

    def _run(self, run_id: str) -> RunDir:
        if run_id not in self._runs:
            self._runs[run_id] = self._workspace.run(run_id)
        return self._runs[run_id]

    def _spec(self, run_id: str) -> dict[str, Any]:
        if run_id not in self._specs:
            try:
                spec = self._run(run_id).spec()
            except DataError:
                return {}
            self._specs[run_id] = (
                {key: spec.get(key) for key in ("name", "experiment", "needs")} if isinstance(spec, dict) else {}
            )
        return self._specs[run_id]

    def _forget(self, run_id: str) -> None:
        for known in (self._runs, self._seen, self._specs):
            known.pop(run_id, None)


def shown(state: RunState) -> RunState:
    """The state with what others have written (why it failed, what it does) as it may be shown."""
    words = (state.reason, state.hint, state.phase)
    if all(map(str.isprintable, words)):
        return state
    reason, hint, phase = map(neutral, words)
    return replace(state, reason=reason, hint=hint, phase=phase)


def _sign(run: RunDir) -> Signature:
    """Which file the scheduler's journal is, how long, when written; when the newest attempt was made. 0 for none."""
    root = os.fspath(run.path)
    try:
        journal = os.stat(f"{root}/{run.control.name}")
        identity = (journal.st_ino, journal.st_size, journal.st_mtime_ns)
    except OSError:  # not there yet, or not to be looked at: reading the state says which
        identity = (0, 0, 0)
    try:
        return identity, os.stat(f"{root}/attempts").st_mtime_ns
    except OSError:
        return identity, 0
