"""Evaluation texts out of the cache, where a database has lost them: both are named by content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from store.bulk import registered
from store.errors import DataError
from store.shards import read_shard
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

_PARTS = {"eval_tokens": ("eval_set", "eval_set.parquet"), "documents": ("documents", "documents.parquet")}
"""Kind of shard and file in the cache, by table."""


def cached_sets(workspace: Workspace) -> frozenset[str]:
    """Identifiers of the evaluation sets in the cache."""
    folder = workspace.cache / "eval_sets"
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def refill(con: duckdb.DuckDBPyConnection, workspace: Workspace) -> dict[str, int]:
    """Insert the texts that ``con`` lacks of sets it knows; rows by table. A damaged cache entry is passed over."""
    filled = {}
    for table, (kind, file) in _PARTS.items():
        lacking = con.execute(
            f"SELECT eval_set_id FROM eval_sets WHERE eval_set_id NOT IN (SELECT eval_set_id FROM {table})"
        ).fetchall()
        for name in sorted({name for (name,) in lacking} & cached_sets(workspace)):
            filled[table] = filled.get(table, 0) + _insert(
                con, table, kind, workspace.cache / "eval_sets" / name / file
            )
    return filled


def _insert(con: duckdb.DuckDBPyConnection, table: str, kind: str, path: Path) -> int:
    try:
        rows = read_shard(path, kind)
    except DataError:
        return 0  # what is still missing is told by `odyssey store check`
    with registered(con, rows):
        con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming WHERE eval_set_id = ?", [path.parent.name])
    return rows.num_rows
