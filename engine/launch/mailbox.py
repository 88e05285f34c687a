"""What scheduler and worker write for each other: ``inbox.json`` by the scheduler, ``worker.json`` by the worker.

Both say how things should be, or are, never what changed: reading one twice, or missing a version, does no harm.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from engine.launch.process import Identity, Instant
from engine.launch.wake import wake
from store.errors import DataError
from store.files import read_json, write_json
from store.records import parse_record, read_record

_LOG = logging.getLogger(__name__)
_DAMAGED = "Delete the worker's folder once its process has ended."
Content = TypeVar("Content")
TOLD_TO_END = "the worker was told to end"
"""Why a run stops whose worker got SIGTERM: it is unfinished, and goes on in a next attempt."""
HELD_ON_REQUEST = "held on request"
"""Why a run stops, or waits, that a person holds: it is unfinished, and goes on once it is let go."""
UNFINISHED = frozenset({TOLD_TO_END, HELD_ON_REQUEST})
"""Reasons to stop that leave a run to its next attempt."""


@dataclass(frozen=True)
class Slot:
    """A place where one run executes at a time, or several of them joined for a run of several processes."""

    name: str
    """``cpu0``, ``gpu1``; joined: ``gpu0+gpu1``."""
    gpu: str | None
    """Value of CUDA_VISIBLE_DEVICES for its worker; None for a CPU slot."""
    threads: int
    """CPU threads of a GPU slot; on a CPU slot the run says how many it uses."""

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the slots it takes up."""
        return tuple(self.name.split("+"))

    @property
    def joined(self) -> bool:
        return len(self.places) > 1


@dataclass(frozen=True)
class Order:
    """What a worker should do. ``seq`` counts the runs it was given, from 1; 0 is none yet."""

    seq: int = 0
    run_id: str = ""
    attempt: int = 0
    stop: str | None = None
    """Why run ``seq`` should stop, if it should."""
    exit: bool = False
    """Leave once no run is unfinished."""
    given: Instant = field(default_factory=Instant)
    """When run ``seq`` was handed over; with none yet, when the worker was started."""


@dataclass(frozen=True)
class Card:
    """Who a worker is and how far it got."""

    identity: Identity
    finished: int = 0
    """``seq`` of the last run it finished with, whatever the outcome."""
    warm: bool = False
    """Whether it has imported what runs need."""
    code: str = ""
    """Hash of the sources it began with."""


@dataclass(frozen=True)
class Mailbox:
    """The folder of one worker, which sleeps at ``inbox`` (``engine.launch.wake``)."""

    path: Path

    @property
    def inbox(self) -> Path:
        return self.path / "inbox.json"

    @property
    def card(self) -> Path:
        return self.path / "worker.json"

    @property
    def slot(self) -> Path:
        return self.path / "slot.json"

    @property
    def console(self) -> Path:
        return self.path / "console.log"

    def write_order(self, order: Order) -> None:
        write_json(self.inbox, asdict(order))
        wake(self.inbox)

    def write_card(self, card: Card) -> None:
        write_json(self.card, {**asdict(card), "workspace": self._home})

    def write_slot(self, slot: Slot) -> None:
        write_json(self.slot, asdict(slot))

    def read_slot(self) -> Slot:
        """``DataError`` when the file is damaged, ``FileNotFoundError`` before it is there."""
        return read_record(self.slot, Slot, _DAMAGED)

    def is_copied(self) -> bool:
        """Whether the worker belongs to another workspace, of which this one is a copy: it is not ours to command."""
        try:
            home = read_json(self.card).get("workspace")
        except (FileNotFoundError, NotADirectoryError, DataError, AttributeError):
            return False
        return home is not None and home != self._home

    @property
    def _home(self) -> str:
        """The workspace as the one path that it has on this machine."""
        return os.path.realpath(self.path.parent.parent)


def parse_order(value: dict[str, Any]) -> Order:
    return parse_record(Order, value, Path("inbox.json"), _DAMAGED)


def parse_card(value: dict[str, Any]) -> Card:
    return parse_record(Card, value, Path("worker.json"), _DAMAGED)


class Watched(Generic[Content]):
    """A JSON file that is replaced now and then: read again only when it was."""

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], Content]) -> None:
        self._path = path
        self._parse = parse
        self._version: tuple[int, int] | None = None
        self._content: Content | None = None

    def read(self) -> Content | None:
        """The content; None while the file does not exist. Of a damaged one, what it held before."""
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_mtime_ns)
            if version != self._version:
                self._version = version
                self._content = self._parse(read_json(self._path))
        except FileNotFoundError:
            self._version, self._content = None, None
        except (OSError, DataError) as error:
            _LOG.warning("%s cannot be read: %s", self._path, " ".join(str(error).split()))
        return self._content
