"""SQL as a user writes it, over everything the database holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.errors import DataError

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Answer:
    """The columns and rows of a statement's result; none for a statement without one."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def answer(con: duckdb.DuckDBPyConnection, statement: str) -> Answer:
    """The whole result of ``statement``. ``DataError`` with the database's own words when it refuses."""
    import duckdb

    try:
        result = con.sql(statement)
        if result is None:
            return Answer((), ())
        return Answer(tuple(result.columns), tuple(result.fetchall()))
    except duckdb.Error as error:
        message = str(error).strip()
        if "read-only" in message:
            raise DataError(
                "this statement would change the database, which is only read here",
                "Runs' journals and shards are the source of everything in it; ask with SELECT.",
            ) from error
        raise DataError(message, "SHOW TABLES lists the tables, DESCRIBE TABLE its columns.") from error
