"""Leases on the DuckDB file: opened, used, closed, never kept.

DuckDB refuses every other process while one writes. Processes of odyssey therefore take turns by an flock on the lease
file beside the database: exclusive to write, shared to read. A foreign tool that has the file open is waited for too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from store import schema
from store.errors import WorkspaceError
from store.files import cannot_write, put_in_place, temporary_name
from store.location import check_location, host_name, note_location
from store.shards import GROUP_ROWS

if TYPE_CHECKING:
    import duckdb

    from store.workspace import Workspace

    Connection = duckdb.DuckDBPyConnection

_DAMAGED = (
    "If it is damaged, `odyssey store rebuild` makes it anew of the runs' journals and what can be read of it; "
    "`odyssey store rebuild --from FILE` also of a backup. If a newer DuckDB wrote it, install that."
)
IN_USE = "Wait for it to finish, or close the program that has the database open."
_SIGNATURE_BYTES, _WORDS = 512, 80
"""Length of a holder's signature, and how much of its command is in it."""
_PAUSE_S = (0.004, 0.03)
_LOCKED = re.compile(r"Could not set lock on file|Conflicting lock|different configuration than existing")
_DENIED = re.compile(r"[Pp]ermission denied")
_WHOSE = "It belongs to somebody else: check its permissions."
_CORRUPT = re.compile(r"Corrupt database file")
"""A block whose checksum is another: of no class of its own."""
_PID = re.compile(r"PID (\d+)")


class DamagedDatabase(WorkspaceError):
    """The database's file cannot be read as one, whoever tries."""


@contextmanager
def lease(workspace: Workspace, write: bool = False, wait_s: float = 10.0) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the workspace's database, read-only unless ``write``; makes or upgrades the database if need be.

    Waits up to ``wait_s`` seconds for its turn, then raises a ``WorkspaceError`` that names the holder's process.
    Results must be fetched before the lease ends. Leases do not nest.
    """
    deadline = time.monotonic() + wait_s
    check_location(workspace)
    if not write:
        with _hold(workspace, False, deadline), _open_current(workspace, deadline) as con:
            if con is not None:
                yield con
                return
        with _hold(workspace, True, deadline), _open_to_write(workspace, deadline):
            note_location(workspace)
        with _hold(workspace, False, deadline), _connect(workspace.database_path, False, deadline) as con:
            yield con
            return
    with _hold(workspace, True, deadline), _open_to_write(workspace, deadline) as con:
        note_location(workspace)
        yield con


def look_at(workspace: Workspace) -> tuple[int, str]:
    """The schema's version of the database as it is (0: there is none yet), and who writes it, in words.

    Waits for nobody, makes and upgrades nothing. ``WorkspaceError`` when it is elsewhere or cannot be opened.
    """
    check_location(workspace)
    path, holder = workspace.database_path, find_holder(workspace)
    if holder or _unborn(path):
        return 0, holder
    with _connect(path, False, time.monotonic()) as con:
        return schema.read_version(con), ""


def find_holder(workspace: Workspace, *, own: bool = True) -> str:
    """The process that has the database to itself now, in words; empty where none has, or unless ``own`` this one.

    Waits for nobody.
    """
    path = lease_path(workspace)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if _try_lock(descriptor, False):
            return ""
        holder = _read_holder(path)
        is_own = (holder.get("pid"), holder.get("host")) == (os.getpid(), host_name())
        return "" if is_own and not own else _name_holder(holder)
    finally:
        os.close(descriptor)


def lease_path(workspace: Workspace) -> Path:
    """The file that carries the lock and, as JSON, the pid, host and start of its last holder."""
    return workspace.database_path.with_name(workspace.database_path.name + ".lease")


@contextmanager
def _open_current(workspace: Workspace, deadline: float) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """A read-only connection; None when the database has yet to be made or upgraded."""
    if _unborn(workspace.database_path):
        yield None
        return
    with _connect(workspace.database_path, False, deadline) as con:
        version = schema.read_version(con)
        schema.refuse_newer(version, str(workspace.database_path))
        yield con if version == schema.newest_version() else None


def _unborn(path: Path) -> bool:
    """Whether there is no database: no file, or the empty one of a process that died while it made it."""
    if path.is_symlink() and not path.exists():
        raise WorkspaceError(
            f"the database {path} is a link to {os.readlink(path)}, which is not there",
            "Mount the disk that holds it, or correct the link.",
        )
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


def _refuse_emptied(path: Path) -> None:
    """An empty file that an ingest once wrote into is no database yet to be made, but one whose content was lost."""
    if path.exists() and path.with_name(f"{path.name}.seen").exists():
        raise DamagedDatabase(f"the database {path} is empty, and it was not", _DAMAGED)


@contextmanager
def _open_to_write(workspace: Workspace, deadline: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the newest schema; an older database is copied before it is upgraded."""
    if _unborn(workspace.database_path):
        _refuse_emptied(workspace.database_path)
        workspace.database_path.unlink(missing_ok=True)
    with _connect(workspace.database_path, True, deadline) as con:
        version = schema.read_version(con)
        schema.refuse_newer(version, str(workspace.database_path))
        if version == 0:
            schema.refuse_foreign(con, str(workspace.database_path))
        if version in (0, schema.newest_version()):
            schema.migrate(con)
            yield con
            return
        con.execute("CHECKPOINT")
    back_up(workspace, f"v{version}")
    with _connect(workspace.database_path, True, deadline) as con:
        schema.migrate(con)
        yield con


def back_up(workspace: Workspace, label: str) -> Path:
    """Copy the database to ``odyssey.duckdb.LABEL.backup``; the caller holds the write lease and has nothing open."""
    source = workspace.database_path
    target = source.with_name(f"{source.name}.{label}.backup")
    staged = target.with_name(temporary_name(target.name))
    try:
        shutil.copy2(source, staged)
        put_in_place(staged, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        staged.unlink(missing_ok=True)
    return target


@contextmanager
def hold_alone(workspace: Workspace, wait_s: float = 10.0) -> Iterator[None]:
    """The write lease without a connection: for whoever replaces the file itself. Waits as ``lease`` does."""
    with _hold(workspace, True, time.monotonic() + wait_s):
        yield


@contextmanager
def open_file(path: Path, write: bool = False, wait_s: float = 10.0) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to any database file, whatever its version; ``WorkspaceError`` when it cannot be opened."""
    with _connect(path, write, time.monotonic() + wait_s) as con:
        yield con


@contextmanager
def _hold(workspace: Workspace, write: bool, deadline: float) -> Iterator[None]:
    path = lease_path(workspace)
    descriptor = _open_lease(path, write)
    if descriptor is None:
        yield
        return
    try:
        while not _try_lock(descriptor, write):
            if time.monotonic() >= deadline:
                raise _held_too_long(workspace.database_path, _read_holder(path))
            time.sleep(random.uniform(*_PAUSE_S))
        _sign(descriptor)
        yield
    finally:
        # Closing releases the lock, also when this process is killed.
        os.close(descriptor)


def _open_lease(path: Path, write: bool) -> int | None:
    """A descriptor to lock; None for a reader of a folder where nobody can write, who needs no lock."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if write or not path.parent.is_dir():
            raise cannot_write(path, error) from error
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorkspaceError(f"cannot read {path}: {error.strerror or error}", "Check its permissions.") from error


def _try_lock(descriptor: int, write: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return
    command = " ".join((Path(sys.argv[0] or "python").name, *sys.argv[1:])).encode("ascii", "replace").decode()
    holder = {"pid": os.getpid(), "host": host_name(), "since": round(time.time(), 3), "command": command[:_WORDS]}
    # One write of a fixed length: readers share the lock, and the last one's signature stands whole. On a full disk the
    # lock holds without it.
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, json.dumps(holder).ljust(_SIGNATURE_BYTES).encode(), 0)


def _read_holder(path: Path) -> dict[str, object]:
    try:
        holder = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


@contextmanager
def _connect(path: Path, write: bool, deadline: float) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    from store.space import is_full

    while True:
        try:
            con = _open(path, write)
            break
        except duckdb.Error as error:
            if _DENIED.search(str(error)):
                raise WorkspaceError(f"cannot open the database {path}: permission denied", _WHOSE) from error
            if is_full(error):
                raise _no_room(path) from error
            if not _LOCKED.search(str(error)):
                raise DamagedDatabase(f"cannot open the database {path}: {_first_line(error)}", _DAMAGED) from error
            if time.monotonic() >= deadline:
                pid = _PID.search(str(error))
                raise _held_too_long(path, _describe_process(int(pid[1])) if pid else {}) from error
            time.sleep(random.uniform(*_PAUSE_S))
    try:
        yield con
    except duckdb.Error as error:
        explained = _explain(path, error)
        if explained is None:
            raise
        raise explained from error
    finally:
        con.close()


def _explain(path: Path, error: duckdb.Error) -> WorkspaceError | None:
    """A database that opened and then could not be read or written further; None for an error of the statement."""
    import duckdb

    from store.space import is_full

    broken = (duckdb.IOException, duckdb.InternalException, duckdb.SerializationException, duckdb.FatalException)

    if is_full(error):
        return _no_room(path)
    if isinstance(error, broken) or _CORRUPT.search(str(error)):
        return DamagedDatabase(f"cannot use the database {path}: {_first_line(error)}", _DAMAGED)
    return None


def _no_room(path: Path) -> WorkspaceError:
    return WorkspaceError(
        f"cannot write {path}: no space left on its disk",
        "Nothing is lost: journals and shards stay where they are until there is room.",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _open(path: Path, write: bool) -> Connection:
    import duckdb

    # Nothing is ever fetched from the network: the extensions in use are compiled in.
    config = {"autoinstall_known_extensions": "false"}
    if not write:
        return duckdb.connect(str(path), read_only=True, config=config)
    con = duckdb.connect(":memory:", config=config)
    try:
        # DuckDB rewrites the last group of rows with every ingest, and a group of its own size holds 500 MB of losses.
        quoted = str(path).replace("'", "''")
        con.execute(f"ATTACH '{quoted}' AS odyssey (TYPE duckdb, ROW_GROUP_SIZE {GROUP_ROWS})")
        con.execute("USE odyssey")
    except BaseException:
        con.close()
        raise
    return con


def _describe_process(pid: int) -> dict[str, object]:
    """A process of this machine that has the database open without a lease: a foreign tool."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    return {"pid": pid, "command": " ".join(word for word in words if word)}


def _held_too_long(path: Path, holder: dict[str, object]) -> WorkspaceError:
    return WorkspaceError(f"the database {path} is in use by {_name_holder(holder)}", IN_USE)


def _name_holder(holder: dict[str, object]) -> str:
    pid, host, command = holder.get("pid"), holder.get("host"), holder.get("command")
    doing = f" ({str(command)[:_WORDS]})" if command else ""
    return f"process {pid} on {host or host_name()}{doing}" if pid else "another process"
