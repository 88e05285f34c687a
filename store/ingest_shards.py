"""Shards into their tables, and into the ledger that remembers them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.bulk import insert_rows, registered
from store.errors import DataError
from store.shards import read_shard
from store.survey import Shard
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

    from store.ingest import IngestReport


@dataclass(frozen=True)
class Taken:
    """Shards that the database has taken note of: their files may be deleted, or set aside when damaged."""

    ingested: tuple[Shard, ...]
    damaged: tuple[Shard, ...]


def bring_in(
    con: duckdb.DuckDBPyConnection, workspace: Workspace, shards: Sequence[Shard], report: IngestReport
) -> Taken:
    """Insert the rows of ``shards`` unless the ledger has them already; the caller holds a transaction."""
    known = _ledger(con, sorted({shard.run_id for shard in shards}))
    ingested: list[Shard] = []
    damaged: list[Shard] = []
    for shard in shards:
        name = str(shard.path.relative_to(workspace.root))
        status = known.get(name)
        if status is None:
            status = _take(con, shard, name, report)
        (ingested if status == "ingested" else damaged).append(shard)
    return Taken(tuple(ingested), tuple(damaged))


def _take(con: duckdb.DuckDBPyConnection, shard: Shard, name: str, report: IngestReport) -> str:
    entry = {"shard": name, "run_id": shard.run_id, "kind": shard.kind, "byte_count": shard.size, "t": time.time()}
    try:
        table = read_shard(shard.path, shard.kind)
    except DataError as error:
        report.quarantined += 1
        report.warnings.append(f"{name}: {error.message}")
        place = {"run_id": shard.run_id, "attempt": shard.attempt.number, "seq": -1, "t": entry["t"]}
        insert_rows(con, "warnings", [{**place, "file": name, "message": f"shard set aside: {error.message}"}])
        insert_rows(con, "ingested_shards", [{**entry, "row_count": 0, "status": "quarantined"}])
        return "quarantined"
    with registered(con, table):
        _INSERT[shard.kind](con, shard)
    insert_rows(con, "ingested_shards", [{**entry, "row_count": table.num_rows, "status": "ingested"}])
    report.shards += 1
    report.rows += table.num_rows
    return "ingested"


def _insert_new(table: str, *key: str) -> Callable[[duckdb.DuckDBPyConnection, Shard], None]:
    """Rows are named by their content, so whoever wrote them first wrote the same."""
    same = " AND ".join(f"old.{name} = incoming.{name}" for name in key)

    def insert(con: duckdb.DuckDBPyConnection, shard: Shard) -> None:
        con.execute(
            f"INSERT INTO {table} BY NAME SELECT * FROM incoming "
            f"WHERE NOT EXISTS (SELECT 1 FROM {table} old WHERE {same})"
        )

    return insert


def _replace(table: str, key: str) -> Callable[[duckdb.DuckDBPyConnection, Shard], None]:
    """A shard holds everything under its keys, so that a repeated computation leaves nothing of the older one."""

    def insert(con: duckdb.DuckDBPyConnection, shard: Shard) -> None:
        con.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT DISTINCT {key} FROM incoming)")
        con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")

    return insert


def _replace_losses(con: duckdb.DuckDBPyConnection, shard: Shard) -> None:
    """The newest computation of an evaluation replaces older ones whole: losses of two are never mixed."""
    place = [shard.run_id, shard.attempt.number]
    con.execute(
        "DELETE FROM token_losses WHERE evaluation_id IN (SELECT DISTINCT evaluation_id FROM incoming) "
        "AND (run_id, attempt) IS DISTINCT FROM (?, ?)",
        place,
    )
    con.execute(
        "INSERT INTO token_losses BY NAME SELECT *, ? AS run_id, ?::INTEGER AS attempt FROM incoming",
        place,
    )


_INSERT: Mapping[str, Callable[[duckdb.DuckDBPyConnection, Shard], None]] = {
    "eval_set": _insert_new("eval_tokens", "eval_set_id", "block"),
    "documents": _insert_new("documents", "eval_set_id", "document"),
    "vocabulary": _insert_new("vocabulary", "tokenizer_id", "token_id"),
    "token_losses": _replace_losses,
    "fit_points": _replace("fit_points", "fit_id"),
    "fit_draws": _replace("fit_draws", "fit_id"),
}


def _ledger(con: duckdb.DuckDBPyConnection, run_ids: list[str]) -> dict[str, str]:
    found = con.execute(
        "SELECT shard, status FROM ingested_shards WHERE run_id IN (SELECT unnest(?))", [run_ids]
    ).fetchall()
    return dict(found)
