"""Tickets: one small file per run that is not finished. The set of tickets is the queue."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from store.errors import DataError
from store.files import cannot_write, read_json, write_json
from store.workspace import Workspace

Order = tuple[float | str, ...]
_DAMAGED = "Delete it and launch the experiment again."


@dataclass(frozen=True)
class Ticket:
    """A place in the queue: higher levels first, then earlier submissions, within one the larger priority first."""

    run_id: str
    priority: float
    """FLOPs of the longest chain of work that begins with this run."""
    enqueued: float
    """Unix seconds; the same for all runs of one submission."""
    level: float = 0.0
    """The priority that a person gave: low -1, normal 0, high 1."""
    place: Order | None = None
    """Where a person has moved it: another ticket's order, or one just before or behind all."""
    held: bool = False
    """Whether a person holds it."""
    code: Mapping[str, Any] | None = None
    """The code it was queued with (``engine.code.Code.record``)."""

    @property
    def order(self) -> Order:
        """Sort key: level, time, work, run; of one that was moved, those of its place and then its own run."""
        natural = (-self.level, self.enqueued, -self.priority)
        return (*natural, self.run_id) if self.place is None else (*self.place, self.run_id)

    def moved_to(self, order: Order) -> Ticket:
        """The ticket in the place of another with this order; next to that one, if it is still there."""
        return replace(self, place=(*order[:3], str(order[3])))


def write_ticket(workspace: Workspace, ticket: Ticket) -> None:
    write_json(_path(workspace, ticket.run_id), asdict(ticket))


def read_ticket(workspace: Workspace, run_id: str) -> Ticket:
    """``DataError`` when the file is no ticket of this run, ``FileNotFoundError`` when there is none."""
    path = _path(workspace, run_id)
    value = read_json(path)
    try:
        place = value.pop("place", None)
        ticket = Ticket(**value, place=None if place is None else tuple(place))
        numbers = (ticket.level, ticket.enqueued, ticket.priority, *(place or ())[:3])
        fits = ticket.run_id == run_id and all(isinstance(number, int | float) for number in numbers)
        fits &= place is None or (len(place) == 4 and isinstance(place[3], str))
    except (TypeError, AttributeError) as error:
        raise DataError(f"{path} is no ticket: {error}", _DAMAGED) from error
    if not fits:
        raise DataError(f"{path} is no ticket of {run_id}", _DAMAGED)
    return ticket


def read_tickets(workspace: Workspace, run_ids: Iterable[str]) -> list[Ticket]:
    """The tickets of these runs, in no order; one that is being removed or cannot be read is left out."""
    found = []
    for run_id in run_ids:
        # The scheduler holds a run with a damaged ticket and says so.
        with contextlib.suppress(FileNotFoundError, DataError):
            found.append(read_ticket(workspace, run_id))
    return found


class TicketReader:
    """Reads all tickets, look after look; one that is the same file as before is not read again."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, tuple[tuple[int, int], Ticket]] = {}

    def read(self) -> Mapping[str, Ticket]:
        """Tickets by run."""
        known, self._known = self._known, {}
        for run_id in ticketed(self._workspace):
            with contextlib.suppress(FileNotFoundError, DataError):
                status = os.stat(f"{self._workspace.root}/queue/tickets/{run_id}.json")
                signature = status.st_ino, status.st_mtime_ns
                before = known.get(run_id)
                same = before is not None and before[0] == signature
                self._known[run_id] = before if same else (signature, read_ticket(self._workspace, run_id))
        return {run_id: ticket for run_id, (_, ticket) in self._known.items()}


def remove_ticket(workspace: Workspace, run_id: str) -> None:
    path = _path(workspace, run_id)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def has_ticket(workspace: Workspace, run_id: str) -> bool:
    return _path(workspace, run_id).exists()


def is_dangling(workspace: Workspace, run_id: str) -> bool:
    """Whether the ticket is a link to something that is not there: it will not go away by itself."""
    return _path(workspace, run_id).is_symlink()


def ticketed(workspace: Workspace) -> set[str]:
    """Identifiers of all runs in the queue."""
    try:
        names = os.listdir(workspace.queue / "tickets")
    except FileNotFoundError:
        return set()
    return {name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")}


def _path(workspace: Workspace, run_id: str) -> Path:
    return workspace.queue / "tickets" / f"{run_id}.json"
