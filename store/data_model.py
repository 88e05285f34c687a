"""What every table and column holds, in words: ``data_model.toml``, written into the database as its comments."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

WHOLE = "_"
"""The key that describes a table as a whole."""


@cache
def descriptions() -> dict[str, dict[str, str]]:
    """Words by table and column; ``WHOLE`` has the table's."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def write_comments(con: duckdb.DuckDBPyConnection) -> None:
    """Describe every table, view and column within the database."""
    views = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    statements = []
    for table, columns in descriptions().items():
        for column, words in columns.items():
            kind = "VIEW" if table in views else "TABLE"
            what = f"{kind} {table}" if column == WHOLE else f'COLUMN {table}."{column}"'
            statements.append(f"COMMENT ON {what} IS '{words.replace(chr(39), chr(39) * 2)}'")
    con.execute(";\n".join(statements))
