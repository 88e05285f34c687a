"""What lies in a workspace that the database may not know yet: found from names and sizes, without opening files.

After an ingest the observed sizes are kept in a small file beside the database, so that "is there news?" needs neither
a lease nor a look into the directories of finished runs. How those ended is in it, too: nobody has to read their
journals to know.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from store.errors import DataError
from store.files import read_json, write_atomic
from store.run_dir import AttemptDir, RunDir
from store.shards import SHARD_NAME
from store.strays import known_copies
from store.workspace import Workspace

_FORMAT = 2
_UNREAD = -1
"""In the place of a size: there is a file or folder that could not be read."""


@dataclass(frozen=True)
class Source:
    """A journal of a run: the scheduler's (attempt 0) or that of an attempt."""

    run_id: str
    attempt: int
    path: Path
    size: int


@dataclass(frozen=True)
class Shard:
    """A shard that waits in a spool."""

    run_id: str
    attempt: AttemptDir
    path: Path
    kind: str
    size: int


@dataclass(frozen=True)
class RunFiles:
    """Everything of one run that can hold news."""

    run: RunDir
    journals: tuple[Source, ...]
    shards: tuple[Shard, ...]
    hidden: tuple[Path, ...] = ()
    """Journals and folders that are there and cannot be looked at: nobody knows what they hold."""

    @property
    def size(self) -> int:
        return sum(source.size for source in self.journals) + sum(shard.size for shard in self.shards)


def look_at(run: RunDir) -> RunFiles:
    """The journals and waiting shards of a run, with their sizes."""
    attempts = run.attempts()
    sources = [
        Source(run.run_id, number, path, _look_size(path))
        for number, path in ((0, run.control), *((attempt.number, attempt.events) for attempt in attempts))
    ]
    hidden = [source.path for source in sources if source.size == _UNREAD]
    shards: list[Shard] = []
    for attempt in attempts:
        names = _look_into(attempt.spool, hidden)
        shards += _waiting(run.run_id, attempt, names)
    if not attempts:
        _look_into(run.path / "attempts", hidden)
    return RunFiles(run, tuple(source for source in sources if source.size > 0), tuple(shards), tuple(hidden))


def size_of(path: Path) -> int:
    """Size in bytes; 0 for what is no file, or cannot be looked at."""
    return max(_look_size(path), 0)


def _look_size(path: Path) -> int:
    """Size in bytes; 0 where there is nothing, ``_UNREAD`` where there is something that cannot be read."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return _UNREAD
    return status.st_size if stat.S_ISREG(status.st_mode) else _UNREAD


def _look_into(folder: Path, hidden: list[Path]) -> list[str]:
    """Names in a folder; one that is there and cannot be looked into joins ``hidden``."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError:
        hidden.append(folder)
        return []


def reopened_runs(workspace: Workspace) -> list[str]:
    """Runs that got a further attempt since they may have been closed."""
    return [name for name in _names(workspace.reopened) if not os.path.isdir(workspace.reopened / name)]


def waiting_runs(workspace: Workspace) -> set[str]:
    """Runs in the queue: they have a ticket, so they are not finished, or not known to be."""
    return {name.removesuffix(".json") for name in _names(workspace.tickets) if name.endswith(".json")}


def has_news(workspace: Workspace) -> bool:
    """Whether an ingest would find anything; looks at names and sizes only, and not at finished runs."""
    return any(True for _ in _find_news(workspace))


def describe_news(workspace: Workspace) -> tuple[object, ...]:
    """What an ingest would find, as far as names and sizes tell; another value where there is more, empty for none."""
    return tuple(_find_news(workspace))


def _find_news(workspace: Workspace) -> Iterator[object]:
    seen = _recall(workspace)
    if seen is None:
        yield None
        return
    if (size := size_of(workspace.notes)) != seen.notes:
        yield size
    yield from sorted(reopened_runs(workspace))
    yield from sorted(seen.closed.keys() & waiting_runs(workspace))
    copies = known_copies(workspace)
    names = workspace.run_names()
    for name in sorted(names - seen.open.keys() - seen.closed.keys()):
        if _is_run(workspace, name, copies):
            yield name
    for run_id, sizes in seen.open.items():
        if run_id in names and _is_run(workspace, run_id, copies):
            files = look_at(workspace.run(run_id))
            if _has_changed(files, sizes):
                yield run_id, files.size


def ended_runs(workspace: Workspace) -> Mapping[str, str]:
    """How finished runs ended (``done``, ``failed``, ``cancelled``), by run, as the last ingest saw it.

    Without those that may go on since. Empty where the database is new, or was put in the place of another.
    """
    seen = _recall(workspace)
    if seen is None:
        return {}
    again = {*waiting_runs(workspace), *reopened_runs(workspace)}
    if again.isdisjoint(seen.closed.keys()):
        return seen.closed
    return {run_id: state for run_id, state in seen.closed.items() if run_id not in again}


def remember(
    workspace: Workspace,
    closed: Mapping[str, str],
    unfinished: Collection[RunFiles],
    notes_bytes: int,
    unread: Collection[Path] = (),
) -> None:
    """Keep what an ingest has seen, for ``has_news`` and ``ended_runs``.

    ``closed`` are the states of finished runs, ``notes_bytes`` is the size of the notes when they were read, ``unread``
    are journals that could not be: that they can is news.
    """
    content: dict[str, Any] = {
        "format": _FORMAT,
        "inode": os.stat(workspace.database_path).st_ino,
        "notes": notes_bytes,
        "closed": dict(sorted(closed.items())),
        # Shards seen now are gone once they are ingested, so any shard found later is news.
        "open": {files.run.run_id: _sizes(files, unread, with_shards=False) for files in unfinished},
    }
    write_atomic(_memory(workspace), json.dumps(content, separators=(",", ":")))


@dataclass(frozen=True)
class _Seen:
    """What the last ingest saw."""

    inode: int
    notes: int
    closed: Mapping[str, str]
    open: Mapping[str, dict[str, int]]


def _recall(workspace: Workspace) -> _Seen | None:
    """What the last ingest into this very database saw; None where nothing is known, or its memory is damaged."""
    path = _memory(workspace)
    try:
        status = os.stat(path)
        inode = os.stat(workspace.database_path).st_ino
        seen = _read_memory(path, (status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError:
        return None
    return seen if seen is not None and seen.inode == inode else None


@lru_cache(maxsize=2)
def _read_memory(path: Path, version: tuple[int, int, int]) -> _Seen | None:
    """The memory in ``path``, which every ingest replaces by a new file: ``version`` says which one is meant."""
    try:
        seen = read_json(path)
    except DataError:
        return None
    kinds = {"format": int, "inode": int, "notes": int, "closed": dict, "open": dict}
    if not isinstance(seen, dict) or any(type(seen.get(key)) is not kind for key, kind in kinds.items()):
        return None
    if seen["format"] != _FORMAT or not all(isinstance(state, str) for state in seen["closed"].values()):
        return None
    return _Seen(seen["inode"], seen["notes"], seen["closed"], seen["open"])


def _is_run(workspace: Workspace, name: str, copies: Collection[str]) -> bool:
    return name not in copies and workspace.run(name).exists()


def _has_changed(files: RunFiles, before: Mapping[str, int]) -> bool:
    again = [source.path for source in files.journals if before.get(_name(files, source.path)) == _UNREAD]
    return _sizes(files, [path for path in again if not _is_readable(path)]) != before


def _is_readable(path: Path) -> bool:
    """Whether all of a file can be read: a broken disk may fail anywhere in it."""
    try:
        with open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except OSError:
        return False
    return True


def _sizes(files: RunFiles, unread: Collection[Path], with_shards: bool = True) -> dict[str, int]:
    sizes = {_name(files, source.path): source.size for source in files.journals}
    if with_shards:
        sizes |= {_name(files, shard.path): shard.size for shard in files.shards}
    closed_off = (*files.hidden, *(source.path for source in files.journals if source.path in unread))
    return sizes | {_name(files, path): _UNREAD for path in closed_off}


def _name(files: RunFiles, path: Path) -> str:
    return str(path.relative_to(files.run.path))


def _waiting(run_id: str, attempt: AttemptDir, names: Collection[str]) -> list[Shard]:
    found = []
    for name in sorted(names):
        if match := SHARD_NAME.fullmatch(name):
            path = attempt.spool / name
            found.append(Shard(run_id, attempt, path, match["kind"], size_of(path)))
    return found


def _names(folder: Path) -> list[str]:
    """Names in a folder; none where there is no folder, or it cannot be looked into."""
    return _look_into(folder, [])


def _memory(workspace: Workspace) -> Path:
    return workspace.database_path.with_name(workspace.database_path.name + ".seen")
