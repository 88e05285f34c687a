"""In which order the rows and columns of the matrix stand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from odyssey_tui.services.matrix_cells import PLAIN
from odyssey_tui.services.matrix_values import VALUES

if TYPE_CHECKING:
    from odyssey_tui.services.matrix import Column, Matrix, Row

ORDERS = ("name", "delta", "similarity")
ORDER_WORDS = {"delta": "ordered by ΔL", "similarity": "ordered by similarity"}


def order_rows(matrix: Matrix, order: str, similarity: Mapping[str, float]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows in one of the orders there are, and those: by name (numbers by size), by what happened to the row's own
    text (the lowest first), or by similarity to the base text (the most similar first)."""
    orders = ["name", "delta"]
    if any(row.domain in similarity for row in matrix.rows):
        orders.append("similarity")
    rows = sorted(matrix.rows, key=lambda row: (row.label != PLAIN, natural(row.label)))
    if order == "delta":
        rows.sort(key=lambda row: own_change(matrix, row))
    elif order == "similarity" and order in orders:
        rows.sort(key=lambda row: -similarity.get(row.domain or "", -math.inf))
    return rows, tuple(orders)


def order_columns(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """Texts of the rows' domains in the order of the rows, so that what is own lies on the diagonal; then the others by
    name; base text last."""
    place = {row.domain: number for number, row in enumerate(rows) if row.domain is not None}

    def key(column: Column) -> tuple[object, ...]:
        own = place.get(column.name.partition("+")[0], len(place))
        return column.is_base, own, natural(column.name)

    return sorted(columns, key=key)


def own_change(matrix: Matrix, row: Row) -> float:
    """What adaptation did to the row's own text; infinite where that is not known."""
    change = VALUES["delta" if matrix.fair is None or matrix.fair.per_token else "delta-bits"]
    entries = (matrix.entry(row.label, column.name) for column in matrix.columns)
    found = [summary.mean for one in entries if one and one.own and (summary := one.summary(change)) is not None]
    return found[0] if found else math.inf


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """A sort key by which numbers within a text are in order of size."""
    parts = []
    for word in text.replace(",", " ").split():
        try:
            parts.append((0, float(word), ""))
        except ValueError:
            parts.append((1, 0.0, word.lower()))
    return tuple(parts)
