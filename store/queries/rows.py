"""From query results to frozen dataclasses and numpy columns; everything is fetched before a lease ends."""

from __future__ import annotations

from dataclasses import fields
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import duckdb
    import numpy as np

Row = TypeVar("Row")


def fetch(
    con: duckdb.DuckDBPyConnection, kind: type[Row], query: str, parameters: list[Any] | None = None
) -> list[Row]:
    """Rows of a query whose columns bear the names of ``kind``'s fields, in any order."""
    cursor = con.execute(query, parameters or [])
    names = [column[0] for column in cursor.description]
    wanted = [field.name for field in fields(kind)]
    pick = itemgetter(*(names.index(name) for name in wanted))
    return [make(kind, dict(zip(wanted, pick(row), strict=True))) for row in cursor.fetchall()]


def make(kind: type[Row], values: dict[str, Any]) -> Row:
    """A frozen dataclass of all its fields, which nobody checks.

    Its own ``__init__`` sets field by field: several times as slow, which 10,000 runs of 30 columns feel.
    """
    row = object.__new__(kind)
    object.__setattr__(row, "__dict__", values)
    return row


def fetch_columns(
    con: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None
) -> dict[str, np.ndarray]:
    """Columns of a query by name; nulls of numeric columns are NaN (integers become floats only then)."""
    import numpy as np

    columns = con.execute(query, parameters or []).fetchnumpy()
    plain = {}
    for name, column in columns.items():
        if isinstance(column, np.ma.MaskedArray):
            numeric = np.issubdtype(column.dtype, np.number)
            masked = bool(np.ma.getmaskarray(column).any())
            column = (
                column.astype(float).filled(np.nan) if numeric and masked else column.filled() if numeric else column
            )
            if isinstance(column, np.ma.MaskedArray):
                column = column.astype(object).filled(None)
        plain[name] = column
    return plain
