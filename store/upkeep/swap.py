"""Another file in the database's place. Whoever calls holds the write lease (``hold_alone``) and has nothing open."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.database import hold_alone, open_file
from store.errors import DataError
from store.files import cannot_write, put_in_place, temporary_name
from store.upkeep.tables import count_rows
from store.workspace import Workspace


@contextmanager
def staged_database(workspace: Workspace) -> Iterator[Path]:
    """A name beside the database for its successor; what still stands there at the end is removed."""
    import duckdb

    path = workspace.database_path
    staged = path.with_name(temporary_name(path.name))
    try:
        yield staged
    except OSError as error:
        raise cannot_write(staged, error) from error
    except duckdb.Error as error:
        raise refused(staged, error) from error
    finally:
        for file in (staged, log_of(staged)):
            # A read-only folder has been reported already, and holds nothing to remove.
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


@contextmanager
def scratch_folder(workspace: Workspace) -> Iterator[Path]:
    """A folder within the workspace that is gone afterwards."""
    folder = workspace.root / temporary_name("scratch")
    try:
        folder.mkdir()
        yield folder
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)


def log_of(database: Path) -> Path:
    """DuckDB's write-ahead log of a database file."""
    return database.with_name(database.name + ".wal")


def replace_database(workspace: Workspace, successor: Path) -> Path | None:
    """Put ``successor`` in place by a rename and keep what was there; returns its new name, None if there was nothing.

    There is a database under the usual name at every moment: whoever looked for it in between would make an empty one.
    """
    path = workspace.database_path
    kept = None
    if path.exists():
        kept = _free_name(path)
        try:
            os.link(path, kept)
        except OSError:
            shutil.copy2(path, kept)  # not every file system links
        if log_of(path).exists():
            os.rename(log_of(path), log_of(kept))
    put_in_place(successor, path)
    return kept


def compact(workspace: Workspace, wait_s: float = 60.0) -> tuple[int, int]:
    """Give the room of deleted rows back to the disk; returns the file's bytes before and after.

    DuckDB reuses such room but never returns it: after deleting half of a table CHECKPOINT leaves the file as large.
    """
    path = workspace.database_path
    with hold_alone(workspace, wait_s), staged_database(workspace) as staged:
        with open_file(path, write=True, wait_s=wait_s) as con:
            con.execute("CHECKPOINT")
            expected = count_rows(con)
        before = path.stat().st_size
        copy_database(path, staged)
        with open_file(staged) as con:
            if count_rows(con) != expected:
                raise DataError(f"the copy of {path} has other rows than the original, which stays", "Try again.")
        put_in_place(staged, path)
        return before, path.stat().st_size


def copy_database(source: Path, target: Path) -> None:
    """Write everything that ``source`` holds to the new file ``target``: tables, views, comments."""
    import duckdb

    with open_file(target, write=True) as con:
        try:
            con.execute(f"ATTACH {quoted(source)} AS old (READ_ONLY)")
            (name,) = con.execute("SELECT current_database()").fetchall()[0]
            con.execute(f'COPY FROM DATABASE old TO "{name}"')
            con.execute("DETACH old")
            con.execute("CHECKPOINT")
        except duckdb.Error as error:
            raise refused(target, error) from error


def refused(path: Path, error: Exception) -> DataError:
    """DuckDB's own words about a file that it could not read or write."""
    words = str(error).splitlines()[0]
    return DataError(f"{path}: {words}", "Check the free space and the disk; the database is as it was.")


def quoted(path: Path) -> str:
    """A path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def _free_name(path: Path) -> Path:
    stem = f"{path.name}.replaced-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (path.with_name(f"{stem}{extra}.backup") for extra in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(name for name in names if not name.exists())
