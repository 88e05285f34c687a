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

    branches = [branch] if branch is not None else _list_branches(con, run_ids, name)
    parameters = [list(run_ids), name, branches]
    columns = fetch_columns(con, _AS_STORED, parameters)
    # They come in long stretches of rising steps, which one pass puts in order.
    order = np.argsort((columns["place"].astype(np.int64) << _STEP_BITS) + columns["step"], kind="stable")
    columns = {key: column[order] for key, column in columns.items()}
    place, step = columns["place"], columns["step"]
    # Repeated steps, unknown ones, and such as do not fit beside a place: the database knows the order.
    if not ((place[1:] > place[:-1]) | ((place[1:] == place[:-1]) & (step[1:] > step[:-1]))).all():
        columns = fetch_columns(con, _NEWEST, parameters)
        place = columns["place"]
    if not len(place):
        return []
    starts = [0, *(np.flatnonzero(place[1:] != place[:-1]) + 1).tolist()]
    series = []
    for a, b in zip(starts, [*starts[1:], len(place)], strict=True):
        run, own = divmod(int(place[a]), len(branches))
        values = (columns[key][a:b] for key in ("step", "tokens", "t", "value"))
        series.append(Series(run_ids[run], name, branches[own], *values))
    return series


_STEP_BITS = 40

# Numbers alone: names beside each of 800,000 points take longer to make than all else, and many times the room.
_PLACE = "((list_position($1, run_id) - 1) * len($3) + list_position($3, branch) - 1)::INTEGER AS place"
_AS_STORED = f"""
SELECT {_PLACE}, step, tokens, t, value FROM metrics
WHERE run_id IN (SELECT unnest($1)) AND name = $2 AND branch IN (SELECT unnest($3))
"""
_NEWEST = f"""{_AS_STORED}
QUALIFY row_number() OVER (PARTITION BY place, step ORDER BY attempt DESC, seq DESC) = 1 ORDER BY place, step
"""


def _list_branches(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str], name: str) -> list[str]:
    found = con.execute(
        "SELECT DISTINCT branch FROM metrics WHERE run_id IN (SELECT unnest(?)) AND name = ? "
        "ORDER BY branch <> 'trunk', branch",
        [list(run_ids), name],
    ).fetchall()
    return [branch for (branch,) in found]
