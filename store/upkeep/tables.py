"""What the tables of the database promise: rows that are unique, rows that name others, rows that only it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

UNIQUE: Mapping[str, tuple[str, ...]] = {
    "runs": ("run_id",),
    "models": ("model_id",),
    "corpora": ("corpus_key",),
    "tokenizers": ("tokenizer_id",),
    "vocabulary": ("tokenizer_id", "token_id"),
    "eval_sets": ("eval_set_id",),
    "eval_tokens": ("eval_set_id", "block"),
    "documents": ("eval_set_id", "document"),
    "evaluations": ("evaluation_id",),
    "token_losses": ("evaluation_id", "block"),
    "type_losses": ("evaluation_id", "token_id"),
    "document_losses": ("evaluation_id", "document"),
    "metrics": ("run_id", "attempt", "seq", "name"),
    "checkpoints": ("run_id", "state"),
    "mixtures": ("run_id", "attempt", "seq"),
    "similarities": ("run_id", "domain", "reference", "measure", "embedder", "encoder", "seed"),
    "drifts": ("drift_id",),
    "type_drifts": ("drift_id", "token_id"),
    "imported_points": ("run_id", "attempt", "seq"),
    "audits": ("audit_id",),
    "fits": ("fit_id",),
    "fit_points": ("fit_id", "point"),
    "fit_draws": ("fit_id", "draw"),
    "ingested_journals": ("file",),
    "ingested_shards": ("shard",),
    "schema_migrations": ("version",),
}
"""Columns that no two rows of a table share."""

OF_SHARDS: Mapping[str, str] = {
    "eval_tokens": "eval_set",
    "documents": "documents",
    "vocabulary": "vocabulary",
    "token_losses": "token_losses",
    "type_losses": "token_losses",
    "document_losses": "token_losses",
    "type_drifts": "type_drift",
    "fit_points": "fit_points",
    "fit_draws": "fit_draws",
}
"""Tables that shards filled, which are deleted once they are in: the database alone holds these. By kind of shard."""

SHARED = ("models", "corpora", "tokenizers", "eval_sets", "evaluations")
"""Tables filled from journals whose rows belong to several runs."""


@dataclass(frozen=True)
class Reference:
    """Values of ``column`` stand in ``target.key``, unless null."""

    table: str
    column: str
    target: str
    key: str

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column} → {self.target}.{self.key}"


REFERENCES: tuple[Reference, ...] = (
    Reference("evaluations", "model_id", "models", "model_id"),
    Reference("evaluations", "eval_set_id", "eval_sets", "eval_set_id"),
    Reference("models", "parent", "models", "model_id"),
    Reference("models", "run_id", "runs", "run_id"),
    Reference("token_losses", "evaluation_id", "evaluations", "evaluation_id"),
    Reference("type_losses", "evaluation_id", "evaluations", "evaluation_id"),
    Reference("document_losses", "evaluation_id", "evaluations", "evaluation_id"),
    Reference("eval_tokens", "eval_set_id", "eval_sets", "eval_set_id"),
    Reference("drifts", "eval_set_id", "eval_sets", "eval_set_id"),
    Reference("type_drifts", "drift_id", "drifts", "drift_id"),
    Reference("audits", "eval_set_id", "eval_sets", "eval_set_id"),
    Reference("fit_points", "fit_id", "fits", "fit_id"),
    Reference("fit_draws", "fit_id", "fits", "fit_id"),
)


def list_tables(con: duckdb.DuckDBPyConnection, database: str = "") -> dict[str, tuple[str, ...]]:
    """Columns by table, in order, of the connection's database or an attached one."""
    found = con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND database_name = "
        "coalesce(nullif(?, ''), current_database()) AND table_name IN (SELECT table_name FROM duckdb_tables() "
        "WHERE NOT temporary) ORDER BY table_name, column_index",
        [database],
    ).fetchall()
    tables: dict[str, tuple[str, ...]] = {}
    for table, column in found:
        tables[table] = (*tables.get(table, ()), column)
    return tables


def count_rows(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows by table."""
    return {table: con.execute(f'SELECT count(*) FROM "{table}"').fetchall()[0][0] for table in list_tables(con)}
