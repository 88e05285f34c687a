"""Where the database of a workspace lies, if not in the workspace: on which machine, and whose it is.

A database on a local disk cannot be seen from other machines. ``WORKSPACE/database.json`` names its machine and path,
so that none of them makes a second one, which would swallow the shards; a file beside it names its workspace.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import DataError, WorkspaceError
from store.files import read_json, write_json
from store.records import read_record

if TYPE_CHECKING:
    from store.workspace import Workspace

NOTE, OWNER = "database.json", ".workspace"
_ALONE = "with nothing running on this workspace"


@dataclass(frozen=True)
class Location:
    """A file on a machine."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}:{self.path}"


@dataclass(frozen=True)
class Owner:
    """The workspace that a database belongs to."""

    id: str
    root: str


def host_name() -> str:
    """This machine, as it calls itself."""
    return os.uname().nodename


def check_location(workspace: Workspace) -> None:
    """Raise ``WorkspaceError`` unless the database named by the settings is this workspace's only one, and here.

    Settings that were changed are followed once the file has been moved; the message says how.
    """
    noted = _read_note(workspace)
    outside = workspace.settings.database is not None
    if outside:
        _check_owner(workspace)
    if noted is not None and _is_of_original(workspace, noted):
        noted = None
    if noted is None:
        if outside:
            _check_moved(workspace, workspace.default_database)
        return
    path = workspace.database_path
    if noted.host != host_name():
        raise WorkspaceError(
            f"the database of {workspace.root} is {noted}, and this is {host_name()}",
            f"Work on {noted.host}; or, {_ALONE}, copy it here as {path} and delete {workspace.root / NOTE}.",
        )
    if noted.path == str(path):
        if not os.path.exists(path):
            raise WorkspaceError(
                f"the database {noted} is gone",
                f"Restore it (`odyssey store restore`); or delete {workspace.root / NOTE} and it is made anew of the "
                "runs' journals, which hold everything but the losses of single tokens.",
            )
        return
    _check_moved(workspace, Path(noted.path))
    if not outside:
        (workspace.root / NOTE).unlink(missing_ok=True)


def note_location(workspace: Workspace) -> None:
    """Note where the database is, once there is one; nothing for one in the workspace."""
    if workspace.settings.database is None:
        return
    here = Location(host_name(), str(workspace.database_path))
    if _read_note(workspace) != here:
        write_json(workspace.root / NOTE, {"host": here.host, "path": here.path})
    mine = Owner(_id_of(workspace.root), os.path.realpath(workspace.root))
    if _read_owner(workspace.database_path) != mine:
        write_json(_owner_file(workspace.database_path), {"id": mine.id, "root": mine.root})


def _check_moved(workspace: Workspace, before: Path) -> None:
    """The database was at ``before``, and the settings say that it is elsewhere: it has to be moved there by hand."""
    path = workspace.database_path
    if before == path or not os.path.exists(before):
        return
    if os.path.exists(path):
        raise WorkspaceError(
            f"the workspace {workspace.root} has two databases: {before} and {path}",
            f"Keep the one with the results: move the other away, {_ALONE}.",
        )
    raise WorkspaceError(
        f"the settings name the database {path}, but it is still {before}",
        f"Move it, {_ALONE}: mv {before} {path}",
    )


def _check_owner(workspace: Workspace) -> None:
    owner = _read_owner(workspace.database_path)
    if owner is None or owner.root == os.path.realpath(workspace.root):
        return
    # One that was moved as a whole has left nothing behind.
    if owner.id != _id_of(workspace.root) or _id_of(Path(owner.root)) == owner.id:
        raise WorkspaceError(
            f"the database {workspace.database_path} belongs to the workspace {owner.root}",
            f"Give {workspace.root} one of its own: another path for `database` in its settings.toml.",
        )


def _is_of_original(workspace: Workspace, noted: Location) -> bool:
    """Whether the note was copied together with the workspace: the database is that of the original."""
    owner = _read_owner(Path(noted.path))
    if owner is None or owner.root == os.path.realpath(workspace.root):
        return False
    return noted.host == host_name() and _id_of(Path(owner.root)) == owner.id


def _read_note(workspace: Workspace) -> Location | None:
    path = workspace.root / NOTE
    try:
        return read_record(path, Location, "It says where the database is: host and path.")
    except FileNotFoundError:
        return None


def _read_owner(database: Path) -> Owner | None:
    path = _owner_file(database)
    try:
        return read_record(path, Owner, f"Delete it if {database} belongs to this workspace.")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _owner_file(database: Path) -> Path:
    return database.with_name(database.name + OWNER)


def _id_of(root: Path) -> str:
    try:
        return str(read_json(root / "workspace.json").get("id"))
    except (FileNotFoundError, NotADirectoryError, DataError, AttributeError):
        return ""
