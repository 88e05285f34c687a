"""Training curves: metrics of runs by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch_columns

if TYPE_CHECKING:
    import duckdb
    import numpy as np


@dataclass(frozen=True)
class Series:
    """One metric of one branch of a run, in order of ``step``; the arrays have equal length (n,), NaN where unknown."""

    run_id: str
    name: str
    branch: str
    """``trunk``, or the state whose annealed branch it is."""
    step: np.ndarray
    tokens: np.ndarray
    t: np.ndarray
    """Unix seconds."""
    value: np.ndarray


def list_metrics(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> list[str]:
    """Names of the metrics that any of the runs has, sorted."""
    found = con.execute(
        "SELECT DISTINCT name FROM metrics WHERE run_id IN (SELECT unnest(?)) ORDER BY name", [list(run_ids)]
    ).fetchall()
    return [name for (name,) in found]


def list_measured(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str], name: str) -> list[str]:
    """Those of the runs that have the metric, in the order given."""
    found = con.execute(
        "SELECT DISTINCT run_id FROM metrics WHERE name = ? AND run_id IN (SELECT unnest(?))", [name, list(run_ids)]
    ).fetchall()
    measured = {run_id for (run_id,) in found}
    return [run_id for run_id in run_ids if run_id in measured]


def read_curves(
    con: duckdb.DuckDBPyConnection, run_ids: Sequence[str], name: str, *, branch: str | None = None
) -> list[Series]:
    """All points of one metric, one series per run and branch, runs in the order given and the trunk first.

    Where a resumed attempt repeated a step, the newer attempt's value stands.
    """
    import numpy as np

    columns = fetch_columns(
        con,
        """
        SELECT run_id, branch, step, tokens, t, value FROM metrics
        WHERE run_id IN (SELECT unnest($1)) AND name = $2 AND ($3 IS NULL OR branch = $3)
        QUALIFY row_number() OVER (PARTITION BY run_id, branch, step ORDER BY attempt DESC, seq DESC) = 1
        ORDER BY list_position($1, run_id), branch <> 'trunk', branch, step
        """,
        [list(run_ids), name, branch],
    )
    runs, branches = columns["run_id"], columns["branch"]
    if not len(runs):
        return []
    starts = np.flatnonzero((runs[1:] != runs[:-1]) | (branches[1:] != branches[:-1])) + 1
    parts = zip([0, *starts.tolist()], [*starts.tolist(), len(runs)], strict=True)
    return [
        Series(runs[a], name, branches[a], *(columns[key][a:b] for key in ("step", "tokens", "t", "value")))
        for a, b in parts
    ]
