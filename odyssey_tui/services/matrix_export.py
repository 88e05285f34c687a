"""The matrix as tables and records: wide for readers, one line a cell for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from odyssey_tui.services.format import signed
from odyssey_tui.services.matrix_values import VALUES, ZERO_SHOT_BITS, ZERO_SHOT_PPL, Summary, Value
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.figure_export import Exportable
    from odyssey_tui.services.matrix import Entry, Matrix

Spread = Literal["sd", "range", "none"]
SPREADS: tuple[Spread, ...] = ("sd", "range", "none")
Intervals = Mapping[tuple[str, str], "MeanDifference | None"]
"""Document-bootstrap intervals of ΔL, by row and column."""
OWN, OWN_INTERVAL = "[{}]", "*{}"
"""How a cell on a domain's own text is written."""

LONG_COLUMNS = tuple(
    Column(key)
    for key in (
        "row",
        "column",
        "own",
        "n_seeds",
        "zero_shot_loss",
        "loss",
        "delta",
        "delta_sd",
        "delta_low",
        "delta_high",
        "interval_low",
        "interval_high",
        "zero_shot_ppl",
        "ppl",
        "ppl_ratio",
        "zero_shot_bits",
        "bits",
        "delta_bits",
        "before",
        "after",
    )
)


def spread_of(summary: Summary, spread: Spread) -> float | None:
    """How far the seeds lie apart: their standard deviation, or half of highest minus lowest; None of one seed."""
    if summary.n < 2 or spread == "none":
        return None
    return summary.sd if spread == "sd" else (summary.high - summary.low) / 2


def cell_text(value: Value, summary: Summary | None, spread: Spread, *, digits: int | None = None) -> str:
    """``−1.000±.020``; empty where there is nothing."""
    if summary is None:
        return ""
    apart = spread_of(summary, spread)
    places = value.digits if digits is None else digits
    beside = "" if apart is None else f"±{apart:.{places}f}".replace("±0.", "±.")
    return value.text(summary.mean, digits) + beside


def interval_text(summary: Summary | None, interval: MeanDifference | None) -> str:
    """``−1.000 [−1.031, −0.970]``."""
    if summary is None:
        return ""
    if interval is None or interval.low is None:
        return signed(summary.mean)
    return f"{signed(summary.mean)} [{signed(interval.low)}, {signed(interval.high)}]"


def wide_table(
    matrix: Matrix, spread: Spread = "sd", intervals: Intervals | None = None
) -> tuple[list[Column], list[list[str]]]:
    """A line for each row and a column for each text, own texts in brackets; with ``intervals`` those instead of
    spreads, and own texts starred."""
    columns = [Column("row", head_of(matrix)), *(Column(column.name, right=True) for column in matrix.columns)]
    own = OWN if intervals is None else OWN_INTERVAL
    rows = []
    for label in matrix.row_labels:
        cells = [label]
        for column in matrix.columns:
            summary, entry = matrix.summary(label, column.name), matrix.entry(label, column.name)
            value = matrix.value_of(label)
            if intervals is not None and label not in matrix.zero_rows:
                text = interval_text(summary, intervals.get((label, column.name)))
            else:
                text = cell_text(value, summary, spread)
            cells.append(own.format(text) if text and entry is not None and entry.own else text)
        rows.append(cells)
    return columns, rows


def head_of(matrix: Matrix) -> str:
    """What heads the labels of the rows."""
    return "adapted to" if matrix.rows_by == "domain" else matrix.rows_by.replace("_", " ")


def long_rows(matrix: Matrix, intervals: Intervals | None = None) -> list[dict[str, Any]]:
    """A record for every cell that holds anything, every value in full precision, means over seeds."""
    found = []
    for label in matrix.row_labels:
        for column in matrix.columns:
            entry = matrix.entry(label, column.name)
            if entry is not None:
                interval = (intervals or {}).get((label, column.name))
                found.append(long_row(label, column.name, entry, interval, zero_shot=label in matrix.zero_rows))
    return found


def long_row(
    row: str, column: str, entry: Entry, interval: MeanDifference | None, *, zero_shot: bool
) -> dict[str, Any]:
    """Every value of one cell."""
    means = {name: entry.summary(value) for name, value in VALUES.items()}

    def mean(name: str) -> float | None:
        summary = means[name]
        return None if summary is None or (zero_shot and VALUES[name].change) else summary.mean

    delta = None if zero_shot else means["delta"]
    before = entry.summary(ZERO_SHOT_PPL)
    bits_before = entry.summary(ZERO_SHOT_BITS)
    first = entry.scores[0]
    return {
        "row": row,
        "column": column,
        "own": entry.own,
        "n_seeds": len(entry.scores),
        "zero_shot_loss": mean("zero-shot"),
        "loss": None if zero_shot else mean("loss"),
        "delta": mean("delta"),
        "delta_sd": delta.sd if delta else None,
        "delta_low": delta.low if delta else None,
        "delta_high": delta.high if delta else None,
        "interval_low": interval.low if interval else None,
        "interval_high": interval.high if interval else None,
        "zero_shot_ppl": before.mean if before else None,
        "ppl": None if zero_shot else mean("ppl"),
        "ppl_ratio": mean("ppl-ratio"),
        "zero_shot_bits": bits_before.mean if bits_before else None,
        "bits": None if zero_shot else mean("bits"),
        "delta_bits": mean("delta-bits"),
        "before": None if zero_shot else first.before,
        "after": first.after,
    }


def record(matrix: Matrix, intervals: Intervals | None = None) -> dict[str, Any]:
    """The whole matrix as plain values, single seeds included."""
    cells = long_rows(matrix, intervals)
    for cell in cells:
        entry = matrix.entry(cell["row"], cell["column"])
        cell["seeds"] = [asdict(score) for score in entry.scores] if entry else []
    return {
        "rows_by": matrix.rows_by,
        "value": matrix.value.name,
        "unit": matrix.value.unit,
        "cell": dict(matrix.cell.values) if matrix.cell else None,
        "cell_text": matrix.cell_text,
        "n_cells": len(matrix.choices),
        "zero_shot_rows": list(matrix.zero_rows),
        "rows": [asdict(row) for row in matrix.rows],
        "columns": [asdict(column) for column in matrix.columns],
        "cells": cells,
        "missing": [{"reason": gap.reason, "cells": [list(place) for place in gap.places]} for gap in matrix.gaps],
        "notes": list(matrix.notes),
        "reason": matrix.reason,
        "hint": matrix.hint,
    }


def exportable(matrix: Matrix, experiment: str | None = None) -> Exportable:
    """What ``E`` writes: the heat map, every cell as CSV, the wide table as LaTeX, everything as JSON."""
    from odyssey_tui.services.figure_export import Exportable
    from odyssey_tui.services.matrix_svg import draw_matrix

    columns, rows = wide_table(matrix)
    stem = "-".join(part for part in ("matrix", experiment, matrix.value.name) if part)
    return Exportable(
        stem,
        columns=LONG_COLUMNS,
        rows=long_rows(matrix),
        record=record(matrix),
        drawing=draw_matrix(matrix) if matrix.rows else "",
        wide=(columns, rows),
    )


def widths_of(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column of a wide table is."""
    return [
        max([len(column.title or column.key), *(len(row[place]) for row in rows)])
        for place, column in enumerate(columns)
    ]
