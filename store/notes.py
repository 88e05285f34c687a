"""Tags, notes and pins of runs: appended to the workspace's journal of notes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence

from store.errors import DataError
from store.files import cannot_write
from store.journal import Journal
from store.workspace import Workspace


def tag(workspace: Workspace, runs: Sequence[str], name: str) -> None:
    """Give runs a tag."""
    _append(workspace, "tag", runs, _one_line(name))


def untag(workspace: Workspace, runs: Sequence[str], name: str) -> None:
    """Take a tag from runs."""
    _append(workspace, "untag", runs, _one_line(name))


def note(workspace: Workspace, runs: Sequence[str], text: str) -> None:
    """Write a note on runs."""
    if not text.strip():
        raise DataError("a note needs some text")
    _append(workspace, "note", runs, text.strip())


def pin(workspace: Workspace, runs: Sequence[str]) -> None:
    """Keep runs at the top of lists."""
    _append(workspace, "pin", runs, "")


def unpin(workspace: Workspace, runs: Sequence[str]) -> None:
    """Let go of pinned runs."""
    _append(workspace, "unpin", runs, "")


def _one_line(name: str) -> str:
    name = name.strip()
    if not name or any(character.isspace() for character in name):
        raise DataError(f"{name!r} cannot be a tag", "A tag is one word.")
    return name


def _append(workspace: Workspace, event: str, runs: Sequence[str], text: str) -> None:
    """Append under a lock: notes come from any client, and a journal has one writer at a time."""
    try:
        descriptor = os.open(workspace.notes, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot_write(workspace.notes, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        journal = Journal(workspace.notes)
        journal.append(event, runs=list(runs), text=text)
        journal.close()
    finally:
        os.close(descriptor)
