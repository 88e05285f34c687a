"""What lies among the runs and is none: copies, headless folders, files. Nothing of it counts as results or goes."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from store.errors import DataError
from store.files import read_json, write_json
from store.run_dir import SPEC_FILE, RunDir
from store.workspace import Workspace


@dataclass(frozen=True)
class Stray:
    """Something in ``runs/`` that is left out, and what to do about it."""

    path: Path
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}. {self.advice}"


def find_strays(workspace: Workspace, read: Container[str] = ()) -> list[Stray]:
    """All of them, by name. Opens the specifications of known copies only, and looks at no run that is ``read`` to its
    end.
    """
    copies = known_copies(workspace)
    names = [name for name in workspace.run_names() if name not in read or name in copies]
    found = [_look(workspace.run(name), copies) for name in sorted(names)]
    return [stray for stray in found if stray is not None]


def known_copies(workspace: Workspace) -> Mapping[str, str]:
    """Folders that ingest found to hold another run's specification: that run's identifier by the folder's name."""
    try:
        content = read_json(_memory(workspace))
        known = {name: (entry["run_id"], entry["changed"]) for name, entry in content.items()}
    except (FileNotFoundError, NotADirectoryError, DataError, TypeError, KeyError, AttributeError):
        return {}
    # A specification that was corrected since is looked at again.
    return {name: run_id for name, (run_id, changed) in known.items() if _changed(workspace, name) == changed}


def remember_copies(workspace: Workspace, copies: Mapping[str, str]) -> None:
    """Keep which folders are copies; the file exists only while there are any."""
    if dict(known_copies(workspace)) == dict(copies):
        return
    if not copies:
        _memory(workspace).unlink(missing_ok=True)
        return
    content = {name: {"run_id": run_id, "changed": _changed(workspace, name)} for name, run_id in copies.items()}
    write_json(_memory(workspace), content)


def run_id_of(run: RunDir) -> str | None:
    """Whose specification a folder holds; None where it says nothing, or cannot be read."""
    try:
        spec = run.spec()
    except DataError:
        return None
    named = spec.get("run_id") if isinstance(spec, dict) else None
    return named if isinstance(named, str) else None


def _look(run: RunDir, copies: Mapping[str, str]) -> Stray | None:
    if run.run_id in copies:
        return _describe_copy(run, copies[run.run_id])
    if run.path.is_symlink() and not run.path.exists():
        return Stray(run.path, "is a link that leads nowhere", "Restore what it leads to, or delete it.")
    if not run.path.is_dir():
        return Stray(run.path, "is a file, not a run", "Move it away.")
    try:
        names = os.listdir(run.path)
    except OSError as error:
        return Stray(run.path, f"cannot be read: {error.strerror}", "Ask its owner for permission to read it.")
    if SPEC_FILE not in names:
        if not names:
            return Stray(run.path, "is empty", "Delete it.")
        return Stray(run.path, f"has no {SPEC_FILE}", "Restore it, or move the folder away and launch again.")
    trouble = run.trouble()
    if trouble is not None:
        return Stray(run.path, f"is only known as far as it was read before: {trouble.message}", trouble.hint)
    return None


def _describe_copy(run: RunDir, original: str) -> Stray:
    if (run.path.parent / original).exists():
        return Stray(run.path, f"is a copy of the run {original} and is left out", "Delete it, or move it away.")
    advice = f"Give it its name back: mv {run.path} {run.path.parent / original}"
    return Stray(run.path, f"is the run {original} under another name and is left out", advice)


def _changed(workspace: Workspace, name: str) -> int:
    try:
        return os.stat(workspace.run(name).spec_path).st_mtime_ns
    except OSError:
        return 0


def _memory(workspace: Workspace) -> Path:
    return workspace.queue / "copies.json"
