"""The database's schema as ordered migrations, each applied in one transaction together with the record that it was."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from store.bulk import transaction
from store.data_model import write_comments
from store.errors import WorkspaceError

if TYPE_CHECKING:
    import duckdb

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True)
class Migration:
    """One step of the schema: ``version`` counts from 1 without gaps."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations in order, from the SQL files beside this module."""
    found = []
    for path in sorted((Path(__file__).parent / "migrations").iterdir()):
        if match := _FILE.fullmatch(path.name):
            found.append(Migration(int(match[1]), match[2], path.read_text()))
    return tuple(found)


def newest_version() -> int:
    """The schema version this code writes."""
    return migrations()[-1].version


def read_version(con: duckdb.DuckDBPyConnection) -> int:
    """The schema version of an open database; 0 for an empty one."""
    known = con.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_migrations' AND NOT internal"
    ).fetchall()
    if not known[0][0]:
        return 0
    return con.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").fetchall()[0][0]


def refuse_newer(version: int, where: str) -> None:
    """Raise ``WorkspaceError`` when the database was written by a newer odyssey."""
    if version > newest_version():
        raise WorkspaceError(
            f"{where} has schema version {version}; this odyssey knows versions up to {newest_version()}",
            "Install the newer version: pip install --upgrade odyssey-tui.",
        )


def refuse_foreign(con: duckdb.DuckDBPyConnection, where: str) -> None:
    """Raise ``WorkspaceError`` when a database of somebody else's tables stands where ours should."""
    found = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal LIMIT 1").fetchall()
    if found:
        raise WorkspaceError(
            f"{where} is a DuckDB database of something else: it has a table {found[0][0]!r} and no schema_migrations",
            "Move it away, or name another file as `database` in settings.toml.",
        )


def migrate(con: duckdb.DuckDBPyConnection, steps: tuple[Migration, ...] | None = None) -> int:
    """Apply what is missing, one transaction a step; returns the version reached. A step that fails leaves no trace."""
    version = read_version(con)
    for step in steps if steps is not None else migrations():
        if step.version <= version:
            continue
        with transaction(con):
            if step.version == 1:
                con.execute("CREATE TABLE schema_migrations (version INTEGER, name VARCHAR, applied DOUBLE)")
            con.execute(step.sql)
            if step is migrations()[-1]:
                write_comments(con)
            con.execute("INSERT INTO schema_migrations VALUES (?, ?, ?)", [step.version, step.name, time.time()])
        version = step.version
    return version
