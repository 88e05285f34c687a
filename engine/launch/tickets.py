"""Tickets: one small file per run that is not finished. The set of tickets is the queue."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from store.files import read_json, write_json
from store.workspace import Workspace


@dataclass(frozen=True)
class Ticket:
    """A place in the queue: earlier submissions first, within one the larger priority first."""

    run_id: str
    priority: float
    """FLOPs of the longest chain of work that begins with this run."""
    enqueued: float
    """Unix seconds; the same for all runs of one submission."""

    @property
    def order(self) -> tuple[float, float, str]:
        """Sort key."""
        return self.enqueued, -self.priority, self.run_id


def write_ticket(workspace: Workspace, ticket: Ticket) -> None:
    write_json(_path(workspace, ticket.run_id), asdict(ticket))


def read_ticket(workspace: Workspace, run_id: str) -> Ticket:
    return Ticket(**read_json(_path(workspace, run_id)))


def read_tickets(workspace: Workspace) -> list[Ticket]:
    """All tickets, in no order; one that is being removed is left out."""
    found = []
    for run_id in ticketed(workspace):
        with contextlib.suppress(FileNotFoundError):
            found.append(read_ticket(workspace, run_id))
    return found


def remove_ticket(workspace: Workspace, run_id: str) -> None:
    _path(workspace, run_id).unlink(missing_ok=True)


def has_ticket(workspace: Workspace, run_id: str) -> bool:
    return _path(workspace, run_id).exists()


def ticketed(workspace: Workspace) -> set[str]:
    """Identifiers of all runs in the queue."""
    try:
        names = os.listdir(workspace.queue / "tickets")
    except FileNotFoundError:
        return set()
    return {name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")}


def _path(workspace: Workspace, run_id: str) -> Path:
    return workspace.queue / "tickets" / f"{run_id}.json"
