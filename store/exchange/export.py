"""Tables, views and answers to queries as Parquet or CSV files, written whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.database import lease
from store.errors import ConfigError, DataError, WorkspaceError
from store.exchange.token_export import TOKEN_LOSSES, write_token_losses
from store.files import cannot_write, put_in_place, temporary_name
from store.names import suggest
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

FORMATS = ("parquet", "csv")


@dataclass(frozen=True)
class Wanted:
    """Something to export: a table or view by its name, or a query; and the file it goes to."""

    what: str
    file: Path

    @property
    def is_query(self) -> bool:
        return is_query(self.what)


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    what: str
    file: Path
    rows: int
    n_bytes: int


def plan_export(
    workspace: Workspace, wanted: Sequence[str], target: Path, chosen: str | None, *, force: bool
) -> list[Wanted]:
    """Which files an export of ``wanted`` (names and queries; empty: every table) writes; nothing is written.

    A target that ends in ``.parquet`` or ``.csv`` is one file, any other a folder. Raises ConfigError for a name that
    does not exist, a target that cannot hold it, and, unless ``force``, a file that is there already.
    """
    with lease(workspace) as con:
        tables, views = _names(con, "tables"), _names(con, "views")
    for name in wanted:
        if not is_query(name) and name not in tables + views:
            raise ConfigError(
                f"there is no table or view {name!r}",
                suggest(name, tables + views, f"There are {', '.join(tables + views)}."),
            )
    suffix = target.suffix.lower().removeprefix(".")
    if chosen and suffix in FORMATS and suffix != chosen:
        raise ConfigError(f"{target} does not end in .{chosen}", "Leave --format out: the name of the file says it.")
    if suffix in FORMATS and not target.is_dir():
        if len(wanted) != 1:
            raise ConfigError(f"{target} is one file, for one table or query", "Give a folder: --to DIR.")
        plan = [Wanted(wanted[0], target)]
    else:
        if target.exists() and not target.is_dir():
            raise ConfigError(f"{target} is neither a folder nor a .parquet or .csv file", "Give another: --to DIR.")
        queries = [name for name in wanted if is_query(name)]
        stems = {name: f"query-{queries.index(name) + 1}" if is_query(name) else name for name in wanted or tables}
        plan = [Wanted(name, target / f"{stem}.{chosen or 'parquet'}") for name, stem in stems.items()]
    there = [item.file for item in plan if item.file.exists()]
    if there and not force:
        told = f"{there[0]} is" if len(there) == 1 else f"{there[0]} and {len(there) - 1} more are"
        raise ConfigError(f"{told} there already", "--force writes it anew; or choose another --to.")
    return plan


def is_query(text: str) -> bool:
    """Whether it is SQL and no name: names have no spaces."""
    return any(char.isspace() for char in text.strip())


def export(workspace: Workspace, item: Wanted) -> Exported:
    """Write one file, in bounded memory: the old file or the whole new one is there, never a part."""
    form = item.file.suffix.lower().removeprefix(".")
    temporary = item.file.with_name(temporary_name(item.file.name))
    write: Callable[[Workspace, Wanted, Path, str], int]
    write = write_tokens if item.what == TOKEN_LOSSES else write_answer
    try:
        item.file.parent.mkdir(parents=True, exist_ok=True)
        rows = write(workspace, item, temporary, form)
        put_in_place(temporary, item.file)
    except OSError as error:
        raise cannot_write(item.file, error) from error
    finally:
        # Where the folder cannot even be looked into, that has been said.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return Exported(item.what, item.file, rows, item.file.stat().st_size)


def write_tokens(workspace: Workspace, item: Wanted, temporary: Path, form: str) -> int:
    """The losses of single tokens, one row each."""
    return write_token_losses(workspace, temporary, form)


def write_answer(workspace: Workspace, item: Wanted, temporary: Path, form: str) -> int:
    """A table, a view or the answer to a query, by way of DuckDB's COPY, which streams."""
    import duckdb

    query = item.what.strip().rstrip(";") if item.is_query else f'SELECT * FROM "{item.what}"'
    options = "FORMAT parquet, COMPRESSION zstd" if form == "parquet" else "FORMAT csv, HEADER"
    path = str(temporary).replace("'", "''")
    with lease(workspace) as con:
        try:
            # On lines of their own, so that a comment at the end of the query does not take the rest with it.
            return int(con.execute(f"COPY (\n{query}\n) TO '{path}' ({options})").fetchall()[0][0])
        except duckdb.IOException as error:
            raise WorkspaceError(
                f"cannot write {item.file}: {str(error).splitlines()[0]}",
                "Check the folder's permissions and the free space, or choose another --to.",
            ) from error
        except duckdb.Error as error:
            raise DataError(
                str(error).strip(), "SHOW TABLES lists the tables (`odyssey sql`); a query is one SELECT."
            ) from error


def _names(con: duckdb.DuckDBPyConnection, kind: str) -> list[str]:
    column = kind.removesuffix("s") + "_name"
    found = con.execute(f"SELECT {column} FROM duckdb_{kind}() WHERE NOT internal AND NOT temporary ORDER BY 1")
    return [name for (name,) in found.fetchall()]
