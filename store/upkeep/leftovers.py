"""Files that nobody needs any more, and files that nobody knows: found by name, age and the state of their run."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from store.errors import DataError
from store.files import cannot_write
from store.run_dir import RunDir
from store.workspace import Workspace

HOUR_S = 3600.0
DAY_S = 86_400.0
_TEMPORARY = re.compile(r"\..+\.(?P<pid>\d+)\.[0-9a-f]{8}\.tmp(\.wal)?")
_IN_RUN = frozenset({"spec.json", "control.jsonl", "attempts", "checkpoints"})
_IN_ATTEMPT = frozenset({"events.jsonl", "console.log", "stop.json", "failure.json", "spool", "quarantine", ".reserve"})


@dataclass(frozen=True)
class Leftover:
    """A file or folder that may go."""

    path: Path
    kind: str
    """Why, in a word or two: temporary, resume point, reserve, quarantine, backup."""
    n_bytes: int


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; what goes away meanwhile counts nothing."""
    if not path.is_dir():
        return _size(path)
    return sum(_size(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)


def find_leftovers(workspace: Workspace, older_than_s: float = 0.0) -> list[Leftover]:
    """All that may go by itself. ``older_than_s`` holds for backups and quarantined shards alone."""
    found = [Leftover(path, "temporary", bytes_of(path)) for path in temporary_files(workspace)]
    for run_id in workspace.run_ids():
        found.extend(_of_run(workspace.run(run_id), older_than_s))
    for path in backups(workspace):
        if _age_s(path) >= older_than_s:
            found.append(Leftover(path, "backup", bytes_of(path)))
    return found


def temporary_files(workspace: Workspace) -> list[Path]:
    """Temporary files and folders older than an hour whose process has ended."""
    found = []
    roots = (workspace.root, workspace.database_path.parent)
    for folder in dict.fromkeys(roots):
        found.extend(_temporary_in(folder, folder == workspace.root))
    return sorted(dict.fromkeys(found))


def backups(workspace: Workspace) -> list[Path]:
    """Copies of the database that odyssey made by itself: before upgrades, rebuilds and restorations."""
    path = workspace.database_path
    pattern = re.compile(re.escape(path.name) + r"\.(v\d+|replaced-[\d-]+)\.backup(\.wal)?")
    return sorted(path.parent / name for name in os.listdir(path.parent) if pattern.fullmatch(name))


def unknown_files(workspace: Workspace) -> list[Path]:
    """Files in run directories that odyssey did not put there."""
    found: list[Path] = []
    for run_id in workspace.run_ids():
        run = workspace.run(run_id)
        found.extend(run.path / name for name in os.listdir(run.path) if _strange(name, _IN_RUN))
        for attempt in run.attempts():
            found.extend(attempt.path / name for name in os.listdir(attempt.path) if _strange(name, _IN_ATTEMPT))
    return found


def remove(leftover: Leftover) -> None:
    """Delete one; ``WorkspaceError`` when the file system refuses."""
    try:
        if leftover.path.is_dir() and not leftover.path.is_symlink():
            shutil.rmtree(leftover.path)
        else:
            leftover.path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(leftover.path, error) from error


def _of_run(run: RunDir, older_than_s: float) -> Iterator[Leftover]:
    resume = run.checkpoint("resume")
    attempts = run.attempts()
    try:
        state = run.state()
    except DataError:
        return
    if state.state == "done" and resume.is_dir():
        yield Leftover(resume, "resume point", bytes_of(resume))
    for attempt in attempts:
        reserve = attempt.path / ".reserve"
        if ((state.finished and state.state != "lost") or attempt is not attempts[-1]) and reserve.exists():
            yield Leftover(reserve, "reserve", bytes_of(reserve))
        if attempt.quarantine.is_dir() and _age_s(attempt.quarantine) >= older_than_s:
            yield Leftover(attempt.quarantine, "quarantine", bytes_of(attempt.quarantine))


def _temporary_in(root: Path, deep: bool) -> Iterator[Path]:
    now = time.time()
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            if (match := _TEMPORARY.fullmatch(name)) and _abandoned(Path(folder) / name, int(match["pid"]), now):
                yield Path(folder) / name
        # Checkpoints and caches hold thousands of files of libraries, and appear whole, by a rename.
        folders[:] = [name for name in folders if deep and not name.startswith(".") and name != "checkpoints"]


def _abandoned(path: Path, pid: int, now: float) -> bool:
    try:
        age_s = now - path.stat().st_mtime
    except FileNotFoundError:
        return False
    return age_s > HOUR_S and not psutil.pid_exists(pid)


def _strange(name: str, known: frozenset[str]) -> bool:
    return name not in known and not name.isdigit() and not _TEMPORARY.fullmatch(name)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
