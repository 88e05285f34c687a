"""Shards into their tables, and into the ledger that remembers them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.bulk import insert_rows, registered
from store.errors import DataError
from store.ingest_losses import LossIntake, check_losses
from store.shards import scan_shard
from store.survey import Shard
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

    from store.ingest import IngestReport

    Insert = Callable[[duckdb.DuckDBPyConnection], None]


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
    intake = LossIntake(con)
    entries: list[dict[str, Any]] = []
    ingested: list[Shard] = []
    damaged: list[Shard] = []
    for shard in sorted(shards, key=lambda shard: shard.kind == "token_losses"):
        name = str(shard.path.relative_to(workspace.root))
        status = known.get(name)
        if status is None and (error := _out_of_reach(shard.path)):
            # Not damaged, only not to be read now (permissions, a server that does not answer): it waits.
            report.warnings.append(f"{name}: cannot be read now: {error.strerror}")
            continue
        if status is None:
            entries.append(_take(con, shard, name, intake, report))
            status = entries[-1]["status"]
        (ingested if status == "ingested" else damaged).append(shard)
    intake.close()
    insert_rows(con, "ingested_shards", entries)
    return Taken(tuple(ingested), tuple(damaged))


def _out_of_reach(path: Path) -> OSError | None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except IsADirectoryError:
        return None
    except OSError as error:
        return error
    return None


def _take(
    con: duckdb.DuckDBPyConnection, shard: Shard, name: str, intake: LossIntake, report: IngestReport
) -> dict[str, Any]:
    entry = {"shard": name, "run_id": shard.run_id, "kind": shard.kind, "byte_count": shard.size, "t": time.time()}
    try:
        tables = scan_shard(shard.path, shard.kind, _CHECK.get(shard.kind))
    except DataError as error:
        report.quarantined += 1
        report.warnings.append(f"{name}: {error.message}")
        place = {"run_id": shard.run_id, "attempt": shard.attempt.number, "seq": -1, "t": entry["t"]}
        insert_rows(con, "warnings", [{**place, "file": name, "message": f"shard set aside: {error.message}"}])
        return {**entry, "row_count": 0, "status": "quarantined"}
    rows = 0
    for table in tables:
        rows += table.num_rows
        if shard.kind == "token_losses":
            intake.insert(shard, table)
            continue
        with registered(con, table):
            _INSERT[shard.kind](con)
    report.shards += 1
    report.rows += rows
    return {**entry, "row_count": rows, "status": "ingested"}


def _insert_new(table: str, *key: str) -> Insert:
    """Rows are named by their content, so whoever wrote them first wrote the same."""
    same = " AND ".join(f"old.{name} = incoming.{name}" for name in key)

    def insert(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(
            f"INSERT INTO {table} BY NAME SELECT * FROM incoming "
            f"WHERE NOT EXISTS (SELECT 1 FROM {table} old WHERE {same})"
        )

    return insert


def _replace(table: str, key: str) -> Insert:
    """A shard holds everything under its keys, so that a repeated computation leaves nothing of the older one."""

    def insert(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT DISTINCT {key} FROM incoming)")
        con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")

    return insert


_CHECK = {"token_losses": check_losses}
_INSERT: Mapping[str, Insert] = {
    "eval_set": _insert_new("eval_tokens", "eval_set_id", "block"),
    "documents": _insert_new("documents", "eval_set_id", "document"),
    "vocabulary": _insert_new("vocabulary", "tokenizer_id", "token_id"),
    "type_drift": _replace("type_drifts", "drift_id"),
    "fit_points": _replace("fit_points", "fit_id"),
    "fit_draws": _replace("fit_draws", "fit_id"),
}


def _ledger(con: duckdb.DuckDBPyConnection, run_ids: list[str]) -> dict[str, str]:
    found = con.execute(
        "SELECT shard, status FROM ingested_shards WHERE run_id IN (SELECT unnest(?))", [run_ids]
    ).fetchall()
    return dict(found)
