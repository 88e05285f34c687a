"""Rows out of a database that may be damaged, into a new one: table by table, and part by part where a table fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store import schema
from store.database import DamagedDatabase, open_file
from store.event_rows import TARGETS
from store.space import is_full
from store.upkeep.swap import copy_database, quoted, refused
from store.upkeep.tables import OF_SHARDS, SHARED, UNIQUE, list_tables
from store.upkeep.tails import last_seq
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

_OF_RUNS = (
    *("runs", "metrics", "warnings", "ingested_journals"),
    *(target.table for target in TARGETS.values() if "run_id" in target.placed and target.table not in SHARED),
)
_FROM_FILES = frozenset({*_OF_RUNS, *SHARED, "notes", "ingested_shards", "schema_migrations"})
_PARENTS = {
    "evaluation_id": "evaluations",
    "eval_set_id": "eval_sets",
    "tokenizer_id": "tokenizers",
    "fit_id": "fits",
    "drift_id": "drifts",
}


@dataclass
class Salvaged:
    """What came out of one database file."""

    source: Path
    rows: dict[str, int] = field(default_factory=dict)
    """By table."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Tables that could not be read whole, and what the database said."""


def make_readable(source: Path, scratch: Path, wait_s: float = 10.0) -> Path:
    """A file of the newest schema with the content of ``source``: itself, or an upgraded copy at ``scratch``.

    Raises ``DamagedDatabase`` when it cannot be read at all, ``WorkspaceError`` when it is in use or too new.
    """
    import duckdb

    try:
        with open_file(source, wait_s=wait_s) as con:
            version = schema.read_version(con)
            schema.refuse_newer(version, str(source))
    except duckdb.Error as error:
        raise DamagedDatabase(f"{source}: {str(error).splitlines()[0]}", "Use a backup.") from error
    if version == 0:
        raise DamagedDatabase(f"{source} is no database of odyssey", "It holds none of its tables.")
    if version == schema.newest_version():
        return source
    copy_database(source, scratch)
    with open_file(scratch, write=True) as con:
        schema.migrate(con)
    return scratch


class Salvager:
    """Copies from ``source`` (of the newest schema) into ``target``, each step in a transaction of its own."""

    def __init__(self, source: Path, target: Path, found: Salvaged | None = None) -> None:
        self._source = source
        self._target = target
        self._opened: Any = None
        self._con: duckdb.DuckDBPyConnection | None = None
        self.found = found or Salvaged(source)

    def __enter__(self) -> Salvager:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def take_what_only_it_holds(self) -> None:
        """The tables whose shards are gone, the ledger of those shards, and tables that come from elsewhere."""
        for table in self._common_tables():
            if table not in _FROM_FILES:
                self._take(table)
        kinds = [kind for kind in {*OF_SHARDS.values()} if self._is_whole(kind)]
        self._take("ingested_shards", "kind IN (SELECT unnest(?)) OR status <> 'ingested'", [kinds])
        self._take("warnings", "seq = -1 AND file LIKE '%.parquet'")

    def take_runs(self, run_ids: Sequence[str]) -> None:
        """Everything journals once said of these runs, whose files no longer say it."""
        for table in _OF_RUNS:
            extra = " AND NOT (seq = -1 AND file LIKE '%.parquet')" if table == "warnings" else ""
            self._take(table, f"run_id IN (SELECT unnest(?)){extra}", [list(run_ids)])

    def take_shared(self) -> None:
        """Models, evaluations and the like that nothing brought in meanwhile, and what is kept of evaluations."""
        for table in SHARED:
            (key,) = UNIQUE[table]
            self._take(table, f"{key} NOT IN (SELECT {key} FROM main.{table})")
        self._try(
            "evaluations",
            "UPDATE evaluations SET kept = o.kept FROM old.evaluations o WHERE evaluations.evaluation_id = "
            "o.evaluation_id AND o.kept <> 'tokens' AND NOT EXISTS (SELECT 1 FROM token_losses l WHERE "
            "l.evaluation_id = evaluations.evaluation_id)",
        )

    def fill_gaps(self) -> None:
        """Rows of shards for what is known already but lacks them, where both mean the same computation."""
        for table in OF_SHARDS:
            if table not in self._common_tables():
                continue
            key = UNIQUE[table][0]
            parent = _PARENTS[key]
            same = f"{key} IN (SELECT {key} FROM main.{parent}) AND {key} NOT IN (SELECT {key} FROM main.{table})"
            if parent == "evaluations":
                kept = "n.kept = 'tokens'" if table == "token_losses" else "n.kept <> 'summary'"
                same += (
                    f" AND {key} IN (SELECT n.{key} FROM main.evaluations n JOIN old.evaluations o USING ({key}) "
                    f"WHERE n.sum_loss = o.sum_loss AND {kept})"
                )
            self._take(table, same)

    def incomplete_runs(self, workspace: Workspace) -> list[str]:
        """Runs of which the database knows more than their files say: without a directory, or with shorter journals."""
        journals = self._ask("SELECT run_id, file, seq FROM old.ingested_journals WHERE run_id IS NOT NULL")
        short = {run for run, file, seq in journals if last_seq(workspace.root / file) < seq}
        known = {run for (run,) in self._ask("SELECT run_id FROM old.runs")}
        return sorted((known - set(workspace.run_ids())) | (known & short))

    def _common_tables(self) -> list[str]:
        new, old = self._columns
        return [table for table in old if table in new]

    @cached_property
    def _columns(self) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """Columns by table, of the new database and of the old one."""
        con = self._connect()
        return list_tables(con), list_tables(con, "old")

    def _is_whole(self, kind: str) -> bool:
        return not any(table in self.found.damaged for table, of in OF_SHARDS.items() if of == kind)

    def _take(self, table: str, where: str = "true", parameters: Sequence[Any] = ()) -> None:
        if self._copy(table, where, parameters):
            return
        parent = _PARENTS.get(UNIQUE.get(table, ("",))[0])
        if parent is None:
            return
        key = UNIQUE[table][0]
        for (value,) in self._ask(f"SELECT {key} FROM old.{parent}"):
            self._copy(table, f"({where}) AND {key} = ?", [*parameters, value])

    def _copy(self, table: str, where: str, parameters: Sequence[Any]) -> bool:
        new, old = (tables.get(table, ()) for tables in self._columns)
        columns = ", ".join(f'"{column}"' for column in new if column in old)
        counted = self._try(
            table, f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM old.{table} WHERE {where}", parameters
        )
        self.found.rows[table] = self.found.rows.get(table, 0) + (counted[0][0] if counted else 0)
        return counted is not None

    def _try(self, table: str, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]] | None:
        import duckdb

        try:
            return self._connect().execute(statement, list(parameters)).fetchall()
        except duckdb.Error as error:
            # A damaged block makes DuckDB give up the whole connection.
            self._close()
            if _is_ours(error):
                raise refused(self._target, error) from error
            self.found.damaged.setdefault(table, str(error).splitlines()[0])
            return None

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        table = query.partition("FROM old.")[2].split()[0]
        return self._try(table, query) or []

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._con is None:
            self._opened = open_file(self._target, write=True)
            self._con = self._opened.__enter__()
            self._con.execute(f"ATTACH {quoted(self._source)} AS old (READ_ONLY)")
        return self._con

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.__exit__(None, None, None)
        self._opened = self._con = None


def _is_ours(error: duckdb.Error) -> bool:
    """Whether it was the new file that could not be written, or memory that ran out: no fault of the old one."""
    import duckdb

    words = str(error)
    return is_full(error) or isinstance(error, duckdb.OutOfMemoryException) or "Could not write" in words
