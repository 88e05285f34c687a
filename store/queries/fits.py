"""Stored fits of laws, with their points and bootstrap draws."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from store.errors import OdysseyError
from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb
    import numpy as np


@dataclass(frozen=True)
class FitRow:
    """One fit: a form, the loss it describes (``role``) and what came out. ``params`` are in the form's order."""

    fit_id: str
    run_id: str | None
    t: float
    form: str
    role: str
    domain: str | None
    params_json: str
    objective: float | None
    n_points: int | None
    n_excluded: int | None
    starts_agreeing: float | None
    at_bound: list[str] | None
    condition: float | None
    fit_ptpp: list[float] | None
    score_ptpp: list[float] | None
    delta: float | None
    P0: float | None
    scores_json: str | None
    identifiability: list[str] | None
    n_params_distinct: int | None
    code_version: str | None

    @cached_property
    def params(self) -> dict[str, float]:
        return json.loads(self.params_json)

    @cached_property
    def scores(self) -> dict[str, Any]:
        return json.loads(self.scores_json) if self.scores_json else {}


@dataclass(frozen=True)
class FitPoint:
    """One measured point as the fit saw it; ``split`` is fit, score, anchor or excluded (then ``reason`` says why)."""

    point: int
    split: str
    run_id: str | None
    n_params: int | None
    ptpp: float | None
    adapt_tokens: int | None
    atpp: float | None
    replay_ratio: float | None
    share: float | None
    loss: float
    zero_shot_loss: float | None
    predicted: float | None
    reason: str | None
    weight: float | None


_SELECT = "SELECT *, params::VARCHAR AS params_json, scores::VARCHAR AS scores_json FROM fits"


def list_fits(
    con: duckdb.DuckDBPyConnection,
    *,
    domain: str | None = None,
    role: str | None = None,
    form: str | None = None,
    newest: bool = True,
) -> list[FitRow]:
    """Fits by domain, role and form; with ``newest`` only the last of each, else all, the last first."""
    once = (
        " QUALIFY row_number() OVER (PARTITION BY domain, role, form, fit_ptpp, score_ptpp ORDER BY t DESC, fit_id) = 1"
    )
    where = " WHERE ($1 IS NULL OR domain = $1) AND ($2 IS NULL OR role = $2) AND ($3 IS NULL OR form = $3)"
    order = " ORDER BY domain, role DESC, form, t DESC, fit_id"
    return fetch(con, FitRow, _SELECT + where + (once if newest else "") + order, [domain, role, form])


def find_fit(con: duckdb.DuckDBPyConnection, fit_id: str) -> FitRow:
    """The fit of this identifier; ``OdysseyError`` when there is none."""
    found = fetch(con, FitRow, _SELECT + " WHERE fit_id = ?", [fit_id])
    if not found:
        raise OdysseyError(f"no fit is called {fit_id!r}", "`odyssey forecast` lists the fits.")
    return found[0]


def read_points(con: duckdb.DuckDBPyConnection, fit_id: str) -> list[FitPoint]:
    """The points of a fit, in its order."""
    return fetch(con, FitPoint, "SELECT * FROM fit_points WHERE fit_id = ? ORDER BY point", [fit_id])


def read_draws(con: duckdb.DuckDBPyConnection, fit_id: str) -> np.ndarray:
    """Bootstrap draws of the parameters, shape (draws, parameters), columns in the order of ``FitRow.params``."""
    import numpy as np

    found = con.execute("SELECT params FROM fit_draws WHERE fit_id = ? ORDER BY draw", [fit_id]).fetchall()
    if not found:
        return np.empty((0, 0))
    return np.array([params for (params,) in found], dtype=float)
