"""Where clients' requests are carried out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from engine.launch.claims import ask_to_stop, list_claimed
from engine.launch.endings import Endings
from engine.launch.entry import say
from engine.launch.needs import UNMENDABLE
from engine.launch.pauses import Pauses
from engine.launch.requests import Request, read_requests
from engine.launch.roster import Roster
from engine.launch.tickets import Ticket, write_ticket
from engine.launch.together import ask_to_stop as stop_together
from store.errors import DataError
from store.run_dir import RunDir
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)


class Desk:
    """Takes requests in the order they were made. A cancelled run has ``stop_grace_s`` seconds to stop."""

    def __init__(
        self, workspace: Workspace, roster: Roster, endings: Endings, pauses: Pauses, stop_grace_s: float
    ) -> None:
        self._workspace = workspace
        self._roster = roster
        self._endings = endings
        self._pauses = pauses
        self._stop_grace_s = stop_grace_s
        self._actions: dict[str, Callable[[Request], None]] = {
            "cancel": self._cancel,
            "retry": self._retry,
            "pause": lambda request: self._pauses.pause("asked for"),
            "resume": lambda request: self._resume(),
        }

    def handle(self) -> bool:
        """Carry out what was asked for; returns whether anything was."""
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
        self._roster.read_tickets()
        for run_id in request.runs:
            entry = self._roster.entries.get(run_id)
            if entry is None:
                if run_id in self._roster.claimed:
                    ask_to_stop(self._workspace, run_id)
                continue
            if entry.elsewhere:
                stop_together(entry.run.latest_attempt(), "cancelled on request")
            elif entry.worker is None:
                entry.say("cancelled", reason="cancelled before it started")
                self._roster.drop(entry)
            elif entry.cancel_by is None:
                entry.worker.stop("cancelled on request")
                entry.cancel_by = time.monotonic() + self._stop_grace_s

    def _retry(self, request: Request) -> None:
        self._roster.read_tickets()
        for run_id in request.runs:
            self._revive(run_id)
        self._roster.read_tickets()

    def _revive(self, run_id: str) -> None:
        """Queue a finished run again; of a held one, what holds it."""
        run = self._workspace.run(run_id)
        entry = self._roster.entries.get(run_id)
        if entry is not None:
            for need in entry.spec.needs if entry.held else ():
                self._roster.needs.forget(need)
                self._revive(need)
            return
        state = run.state()
        if state.state in UNMENDABLE and run_id not in list_claimed(self._workspace):
            say(run, "retried", attempt=state.attempt + 1, by="user")
            self._roster.needs.forget(run_id)
            write_ticket(self._workspace, Ticket(run_id, _cost(run), time.time()))

    def _resume(self) -> None:
        self._endings.forgive()
        self._pauses.resume()


def _cost(run: RunDir) -> float:
    """FLOPs; 0 where the specification cannot be read, which admitting the run will say."""
    try:
        return float(run.spec().get("cost_flops", 0.0))
    except DataError:
        return 0.0
