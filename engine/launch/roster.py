"""The scheduler's memory of the queue: an entry for each ticket, from its appearance until its run has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from engine.launch.claims import list_claimed, settle_abandoned
from engine.launch.entry import Entry, say
from engine.launch.line import line_up
from engine.launch.mailbox import Slot
from engine.launch.needs import Needs
from engine.launch.tickets import Ticket, is_dangling, read_ticket, remove_ticket, ticketed, write_ticket
from engine.launch.workers import Pool, Worker
from engine.spec.run import RunSpec
from store.errors import DataError
from store.run_dir import RunDir
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)


class Roster:
    """Entries by run. ``ended`` is told of runs that have ended, ``vanished`` of active ones that nobody executes.

    ``adopt`` finds the Slurm job that has a run, if there is one.
    """

    def __init__(
        self,
        workspace: Workspace,
        slots: Sequence[Slot],
        pool: Pool,
        *,
        ended: Callable[[RunSpec, RunDir], None],
        vanished: Callable[[Entry], None],
        adopt: Callable[[Entry], bool],
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self.needs = Needs(workspace, slots, self.entries)
        self.claimed: frozenset[str] = frozenset()
        """Runs that commands execute outside the queue."""
        self.dirty = True
        """Whether something happened that may hold runs, or let them start."""
        self._workspace = workspace
        self._pool = pool
        self._ended = ended
        self._vanished = vanished
        self._adopt = adopt
        self._broken: set[str] = set()
        self._line: list[Entry] | None = None

    @property
    def known(self) -> set[str]:
        """Runs whose tickets were looked at, those that could not be admitted included."""
        return self.entries.keys() | self._broken

    @property
    def assigned(self) -> list[Entry]:
        """Entries whose run is with a worker."""
        return [entry for entry in self.entries.values() if entry.worker is not None]

    def queued(self) -> list[Entry]:
        """Entries that wait for a slot or for what they need, in the order in which they will start."""
        if self._line is None:
            orders = {run_id: entry.ticket.order for run_id, entry in self.entries.items()}
            line = line_up(orders, {run_id: entry.spec.needs for run_id, entry in self.entries.items()})
            self._line = [self.entries[run_id] for run_id in line]
        return [entry for entry in self._line if entry.waiting == "queued"]

    def rewrite(self, ticket: Ticket) -> None:
        """Change the ticket of an entry."""
        write_ticket(self._workspace, ticket)
        self.entries[ticket.run_id].ticket = ticket
        self._line, self.dirty = None, True

    def look_at_claims(self) -> bool:
        """Which runs commands execute outside the queue: they are not touched, and what needs them waits."""
        settle_abandoned(self._workspace)
        before, self.claimed = self.claimed, list_claimed(self._workspace)
        for run_id in before - self.claimed:
            self.needs.forget(run_id)
        return before != self.claimed

    def read_tickets(self) -> bool:
        """Admit what is new, forget what is gone; returns whether there was either."""
        present = ticketed(self._workspace)
        known = self.known
        fresh = sorted(present - known)
        claimed = list_claimed(self._workspace) if fresh else frozenset()
        for run_id in fresh:
            if run_id not in claimed:
                self._admit(run_id)
        for run_id in known - present:
            # Deleted by hand: what runs is finished with when its worker is, what waits is gone.
            self._broken.discard(run_id)
            if run_id in self.entries and not self.entries[run_id].placed:
                del self.entries[run_id]
                self._line = None
        return bool((present ^ known) - claimed)

    def give_up(self, run_id: str) -> bool:
        """Take a run out of the queue that could not be admitted; False when it is none of those."""
        if run_id not in self._broken:
            return False
        self._broken.discard(run_id)
        remove_ticket(self._workspace, run_id)
        return True

    def reconsider(self, run_id: str) -> None:
        """Look again at a run that could not be admitted: its files may be whole by now."""
        self._broken.discard(run_id)

    def drop(self, entry: Entry) -> None:
        """Take an entry whose run is finished out of the queue."""
        self.entries.pop(entry.run_id, None)
        self._line = None
        remove_ticket(self._workspace, entry.run_id)
        self.needs.forget(entry.run_id)
        self._ended(entry.spec, entry.run)
        self.dirty = True

    def drop_ended_elsewhere(self) -> bool:
        """Runs on several machines are started by hand: only their files say that they have ended."""
        several = [e for e in self.entries.values() if e.spec.resources.nodes > 1 and not e.on_cluster]
        ended = [entry for entry in several if entry.run.state().finished]
        for entry in ended:
            self.drop(entry)
        return bool(ended)

    def _admit(self, run_id: str) -> None:
        run = self._workspace.run(run_id)
        ticket = None
        try:
            ticket = read_ticket(self._workspace, run_id)
            spec = RunSpec.model_validate(run.spec())
        except (DataError, ValidationError, TypeError) as error:
            _LOG.error("run %s cannot be queued: %s", run_id, error)
            self._broken.add(run_id)
            what = "specification" if ticket else "ticket"
            if run.exists():
                say(run, "held", reason=f"its {what} cannot be read: {' '.join(str(error).split())[:300]}")
            return
        except FileNotFoundError:
            if is_dangling(self._workspace, run_id):
                _LOG.error("the ticket of %s is a link that leads nowhere", run_id)
                self._broken.add(run_id)
            return
        entry = Entry(ticket, spec, run)
        state = run.state()
        self.entries[run_id] = entry
        self._line = None
        if state.finished:
            self.drop(entry)
        elif entry.on_cluster and self._adopt(entry):
            _LOG.info("run %s: adopted %s", run_id, entry.job.place)
        elif entry.elsewhere:
            entry.held = "it runs on several machines"
        elif state.state in ("starting", "running", "stopping"):
            entry.attempt = state.attempt
            entry.worker = self._holder(run_id, state.attempt)
            if entry.worker is None:
                self._vanished(entry)
        elif state.state == "held":
            entry.held = state.reason
        elif state.queued is None:
            entry.say("queued", **({"code": ticket.code} if ticket.code else {}))

    def _holder(self, run_id: str, attempt: int) -> Worker | None:
        """The worker that was given this attempt of the run."""
        workers = self._pool.workers.values()
        return next((w for w in workers if (w.order.run_id, w.order.attempt) == (run_id, attempt)), None)
