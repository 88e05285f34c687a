"""Where clients' requests are carried out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.launch.claims import ask_to_stop, list_claimed
from engine.launch.endings import Endings
from engine.launch.entry import Entry, say
from engine.launch.line import move
from engine.launch.mailbox import HELD_ON_REQUEST
from engine.launch.needs import UNMENDABLE
from engine.launch.pauses import ASKED_FOR, Pauses
from engine.launch.requests import Request, postpone, read_requests, set_aside
from engine.launch.roster import Roster
from engine.launch.slurm.backend import SlurmBackend
from engine.launch.submit import reallot
from engine.launch.tickets import Ticket, write_ticket
from engine.launch.together import ask_to_stop as stop_together
from engine.spec.run import Resources
from store.errors import DataError, OdysseyError
from store.run_dir import RunDir
from store.space import is_full
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)


class Desk:
    """Takes requests in the order they were made. A cancelled run has ``stop_grace_s`` seconds to stop."""

    def __init__(
        self,
        workspace: Workspace,
        roster: Roster,
        endings: Endings,
        pauses: Pauses,
        slurm: SlurmBackend,
        stop_grace_s: float,
    ) -> None:
        self._workspace = workspace
        self._roster = roster
        self._endings = endings
        self._pauses = pauses
        self._slurm = slurm
        self._stop_grace_s = stop_grace_s
        self._actions: dict[str, Callable[[Request], Sequence[str] | None]] = {
            "cancel": self._cancel,
            "retry": self._retry,
            "hold": self._hold,
            "release": self._release,
            "move": self._move,
            "level": self._set_level,
            "reallot": self._reallot,
            "pause": self._pause,
            "resume": self._resume,
        }

    def handle(self) -> bool:
        """Carry out what was asked for; returns whether anything was.

        One that cannot be carried out is set aside and logged: the queue goes on. On a full disk it waits.
        """
        acted = False
        for request in read_requests(self._workspace):
            try:
                left = self._handle(request)
            except Exception as error:
                if is_full(error):
                    raise
                known = None if isinstance(error, OdysseyError) else error
                _LOG.error("%s %s failed: %s", request.action, " ".join(request.runs), error, exc_info=known)
                set_aside(request.path, f"it could not be carried out: {error}")
                acted = True
                continue
            acted |= len(left) < len(request.runs) or not left
            if len(left) < len(request.runs) or not left:
                postpone(request, left)
        return acted

    def _handle(self, request: Request) -> Sequence[str]:
        """Act; returns the runs for which it is too early."""
        action = self._actions.get(request.action)
        if action is None:
            raise DataError(f"there is no action {request.action!r}")
        self._roster.read_tickets()
        left = action(request) or ()
        if len(left) < max(1, len(request.runs)):
            _LOG.info("%s %s", request.action, " ".join((*request.runs, *request.experiments)))
        return left

    def _cancel(self, request: Request) -> None:
        for run_id in request.runs:
            entry = self._roster.entries.get(run_id)
            if entry is not None:
                self._cancel_entry(entry)
            elif self._roster.give_up(run_id):
                say(self._workspace.run(run_id), "cancelled", reason="cancelled before it started")
            elif run_id in self._roster.claimed:
                ask_to_stop(self._workspace, run_id)

    def _cancel_entry(self, entry: Entry) -> None:
        if entry.elsewhere:
            stop_together(entry.run.latest_attempt(), "cancelled on request")
        elif entry.job is not None:
            self._slurm.cancel(entry)
        elif entry.worker is None:
            entry.say("cancelled", reason="cancelled before it started")
            self._roster.drop(entry)
        elif entry.cancel_by is None:
            entry.worker.stop("cancelled on request")
            entry.cancel_by = time.monotonic() + self._stop_grace_s

    def _retry(self, request: Request) -> Sequence[str]:
        """Runs that are being cancelled are queued again once they have stopped."""
        self._slurm.forgive()
        entries = self._roster.entries
        left = [run_id for run_id in request.runs if run_id in entries and entries[run_id].cancelling]
        for run_id in request.runs:
            if run_id not in left:
                self._revive(run_id, request.more)
        self._roster.read_tickets()
        return left

    def _revive(self, run_id: str, more: Mapping[str, Any]) -> None:
        """Queue a finished run again; of a held one, what holds it."""
        run = self._workspace.run(run_id)
        entry = self._roster.entries.get(run_id)
        if entry is not None:
            for need in entry.spec.needs if entry.held else ():
                self._roster.needs.forget(need)
                self._revive(need, more)
            return
        self._roster.reconsider(run_id)
        state = run.state()
        if state.state in UNMENDABLE and run_id not in list_claimed(self._workspace):
            revive(self._workspace, run, more)
            self._roster.needs.forget(run_id)

    def _hold(self, request: Request) -> None:
        for entry in self._entries(request):
            self._roster.rewrite(replace(entry.ticket, held=True))
            if entry.worker is not None and entry.cancel_by is None:
                entry.worker.stop(HELD_ON_REQUEST)

    def _release(self, request: Request) -> None:
        for entry in self._entries(request):
            self._roster.rewrite(replace(entry.ticket, held=False))

    def _move(self, request: Request) -> None:
        chosen = [entry.run_id for entry in self._entries(request) if not entry.placed]
        line = {entry.run_id: entry for entry in self._roster.queued()}
        line.update((run_id, self._roster.entries[run_id]) for run_id in chosen)
        tickets = {run_id: entry.ticket for run_id, entry in line.items()}
        needs = {run_id: entry.spec.needs for run_id, entry in line.items()}
        for ticket in move(tickets, needs, chosen, str(request.more["where"])):
            self._roster.rewrite(ticket)

    def _set_level(self, request: Request) -> None:
        for entry in self._entries(request):
            self._roster.rewrite(replace(entry.ticket, level=float(request.more["level"]), place=None))

    def _reallot(self, request: Request) -> None:
        wanted = Resources.model_validate(request.more["resources"])
        for entry in self._entries(request):
            if not entry.placed and not entry.elsewhere:
                entry.spec, entry.refused = entry.spec.model_copy(update={"resources": wanted}), ""
                reallot(entry.run, entry.spec)
                self._roster.dirty = True

    def _pause(self, request: Request) -> None:
        for name in request.experiments:
            self._pauses.pause_experiment(name, ASKED_FOR)
        if not request.experiments:
            self._pauses.pause(ASKED_FOR)

    def _resume(self, request: Request) -> None:
        self._endings.forgive(*request.experiments)
        self._slurm.forgive()
        self._roster.dirty = True
        if request.experiments:
            self._pauses.resume_experiments(request.experiments)
        else:
            self._pauses.resume()

    def _entries(self, request: Request) -> list[Entry]:
        """The runs of a request that are in the queue; one may have ended since it was asked for."""
        return [self._roster.entries[run_id] for run_id in request.runs if run_id in self._roster.entries]


def revive(workspace: Workspace, run: RunDir, more: Mapping[str, Any]) -> None:
    """Queue a run again that has ended. ``more`` may hold its ``level`` and the ``code`` to run it with."""
    code, level = more.get("code"), float(more.get("level") or 0.0)
    said = {"code": code} if code else {}
    # In this order: a kill in between leaves an ended run, of which the request, still there, is carried out again.
    write_ticket(workspace, Ticket(run.run_id, _cost(run), time.time(), level, code=code))
    say(run, "retried", attempt=run.state().attempt + 1, by="user", **said)


def _cost(run: RunDir) -> float:
    """FLOPs; 0 where the specification cannot be read, which admitting the run will say."""
    try:
        return float(run.spec().get("cost_flops", 0.0))
    except DataError:
        return 0.0
