"""A backup back into a workspace: its database in place of the present one, and files of runs that lack some."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from store import schema
from store.database import hold_alone, open_file
from store.errors import DataError, OdysseyError, WorkspaceError
from store.files import read_json, write_json
from store.upkeep.archive import DATABASE, Manifest, check_database, read_manifest, unpack
from store.upkeep.swap import replace_database, scratch_folder, staged_database
from store.workspace import WORKSPACE_FORMAT, Workspace

_GROWING = (".jsonl", ".log")


@dataclass(frozen=True)
class Restoration:
    """What a backup would change here."""

    manifest: Manifest
    files: tuple[str, ...]
    """Missing here, or shorter than in the backup; relative to the workspace."""
    newer_losses: int | None
    """Evaluations with losses of single tokens in the present database that the backup lacks; None if unreadable."""
    trouble: str = ""
    """Why the present database cannot be read."""


@dataclass(frozen=True)
class Staged:
    """A backup that lies unpacked and verified beside what it is to replace."""

    folder: Path
    restoration: Restoration


@contextmanager
def staged_backup(workspace: Workspace, backup: Path) -> Iterator[Staged]:
    """Unpack and verify a backup within the workspace, and compare; nothing is replaced yet.

    ``DataError`` or ``WorkspaceError`` for a file that is damaged, no backup, of another workspace or a newer odyssey.
    """
    manifest = read_manifest(backup)
    _refuse_foreign(workspace, backup, manifest)
    with scratch_folder(workspace) as folder:
        unpack(backup, folder)
        check_database(folder / DATABASE, manifest)
        newer, trouble = _newer_losses(workspace, folder / DATABASE)
        yield Staged(folder, Restoration(manifest, tuple(_outdone(workspace, folder)), newer, trouble))


def restore(workspace: Workspace, staged: Staged, wait_s: float = 60.0) -> Path | None:
    """Replace; returns where the present database went. Files that are replaced stay as ``NAME.replaced-DATE``."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in staged.restoration.files:
        target = workspace.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            os.link(target, target.with_name(f"{target.name}.replaced-{stamp}"))
        os.replace(staged.folder / name, target)
    with hold_alone(workspace, wait_s), staged_database(workspace) as database:
        # The settings may have the database on another disk than the workspace.
        shutil.move(staged.folder / DATABASE, database)
        with open_file(database, write=True) as con:
            schema.migrate(con)
            # What happened to runs after the backup is in their files: each is looked at once more.
            con.execute("UPDATE runs SET closed = false WHERE removed IS NULL")
            con.execute("CHECKPOINT")
        return replace_database(workspace, database)


def _refuse_foreign(workspace: Workspace, backup: Path, manifest: Manifest) -> None:
    marker = workspace.root / "workspace.json"
    own = read_json(marker)
    if own.get("id") == manifest.workspace:
        return
    if workspace.run_ids() or workspace.database_path.exists():
        raise WorkspaceError(
            f"{backup} is of another workspace than {workspace.root}",
            "Restore it into a new folder: odyssey --workspace NEW store restore FILE.",
        )
    write_json(marker, {**own, "format": WORKSPACE_FORMAT, "id": manifest.workspace})


def _outdone(workspace: Workspace, folder: Path) -> Iterator[str]:
    """Files of the backup that are missing here, cannot be read, or are longer than those here."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name in (DATABASE, "manifest.json", "workspace.json", "settings.toml"):
            continue
        target = workspace.root / name
        # A shard that is gone was read: the database that returns has its rows, or this file brings them.
        if not target.exists() or _is_worse(target, path):
            yield name


def _is_worse(target: Path, path: Path) -> bool:
    if path.suffix in _GROWING:
        return target.stat().st_size < path.stat().st_size
    if path.name != "spec.json":
        return False
    try:
        read_json(target)
    except DataError:
        return True
    return False


def _newer_losses(workspace: Workspace, database: Path) -> tuple[int | None, str]:
    if not workspace.database_path.exists():
        return 0, ""
    query = "SELECT DISTINCT evaluation_id FROM token_losses"
    try:
        with open_file(database) as con:
            has = {name for (name,) in con.execute(query).fetchall()}
        with open_file(workspace.database_path) as con:
            return sum(name not in has for (name,) in con.execute(query).fetchall()), ""
    except OdysseyError as error:
        return None, error.message
