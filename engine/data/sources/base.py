"""What a source hands over: raw documents, and an account of what it skipped."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class Objection(NamedTuple):
    """Why a source cannot be what its name says, and what to do about it."""

    reason: str
    advice: str


@dataclass(frozen=True, slots=True)
class RawDocument:
    """One document as its source has it: ``path`` says where it was read (file, file:line, dataset row)."""

    doc_id: str
    group: str
    text: str
    path: str
    split: Split | None = None
    """Set by sources with splits of their own; those yield test, valid, train, each at most ``max_bytes`` long."""


@dataclass
class ReadLog:
    """What reading met on its way: skipped inputs by reason (with the first of each), and remarks for the manifest."""

    skipped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _first: dict[str, str] = field(default_factory=dict)

    def skip(self, reason: str, place: str) -> None:
        """Count one input that was left out."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        self._first.setdefault(reason, place)

    def note(self, text: str) -> None:
        """Add a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def skipped_notes(self) -> list[str]:
        """One line per reason: ``3 skipped: binary (first: a.png)``."""
        return [f"{n} skipped: {reason} (first: {self._first[reason]})" for reason, n in self.skipped.items()]


@dataclass(frozen=True)
class Source:
    """An opened source. ``documents`` may be consumed once; errors of reading are raised while it is consumed."""

    documents: Iterator[RawDocument]
    origin: str
    """The resolved place: an absolute path, ``DATASET@REVISION``, an interpreter."""
    stops_early: bool = False
    """The order already spreads over groups, or reading to the end may be endless: stop at ``max_bytes``. Otherwise
    everything is read and ``max_bytes`` takes a sample of the documents by the hash of their id."""
    joined: bool = False
    """Documents are consecutive pieces of one text: no separator between them, kept in the order they come."""
    max_bytes: int | None = None
    """The limit where the corpus gives none."""


def hash_order(text: str) -> bytes:
    """A sort key that puts names in an order that is fixed but says nothing about them."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def nearest(wanted: str, known: Iterable[str]) -> list[str]:
    """At most three of ``known`` that resemble ``wanted``, ignoring case."""
    by_lower = {name.lower(): name for name in known}
    return [by_lower[name] for name in difflib.get_close_matches(wanted.lower(), list(by_lower), n=3, cutoff=0.5)]


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """``Did you mean 'a' or 'b'?``, or an empty string."""
    names = nearest(wanted, known)
    return f"Did you mean {' or '.join(repr(name) for name in names)}?" if names else ""
