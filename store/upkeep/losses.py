"""What is kept of the losses of evaluations, how much room it takes, and what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

BLOCK_BYTES = 262_144
"""DuckDB's unit of storage."""
_HEADER_BYTES = 3 * 4096
"""What precedes the blocks."""

_WITHOUT = """
SELECT e.evaluation_id FROM evaluations e LEFT JOIN runs r USING (run_id)
WHERE e.kept = 'tokens' AND coalesce(r.closed, true)
    AND NOT EXISTS (SELECT 1 FROM token_losses l WHERE l.evaluation_id = e.evaluation_id)
"""


def list_without_losses(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Evaluations of finished runs that should have losses of single tokens, and have none."""
    return [name for (name,) in con.execute(_WITHOUT + " ORDER BY ALL").fetchall()]


def count_without_losses(con: duckdb.DuckDBPyConnection) -> int:
    """How many ``list_without_losses`` would list."""
    return con.execute(f"SELECT count(*) FROM ({_WITHOUT})").fetchall()[0][0]


def table_bytes(con: duckdb.DuckDBPyConnection, table: str) -> int:
    """Bytes on disk of one table, in whole blocks; those it shares with another table count in both."""
    found = con.execute(
        f"SELECT count(DISTINCT block_id) FROM pragma_storage_info('{table}') WHERE block_id >= 0"
    ).fetchall()
    return found[0][0] * BLOCK_BYTES


def unused_bytes(con: duckdb.DuckDBPyConnection) -> int:
    """Room in the database's file that holds nothing."""
    # DuckDB cuts free blocks off the file's end, and goes on counting them among its blocks.
    used, path = con.execute(
        "SELECT s.used_blocks, d.path FROM pragma_database_size() s JOIN duckdb_databases() d USING (database_name) "
        "WHERE database_name = current_database()"
    ).fetchall()[0]
    return max(0, os.path.getsize(path) - used * BLOCK_BYTES - _HEADER_BYTES)
