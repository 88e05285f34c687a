"""Stored fits of laws, with their points and bootstrap draws."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

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
    experiment: str | None
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
    definitions_json: str | None
    """Forms of the user's own that the fit run knew."""
    labels_json: str | None
    """What the fit run is labelled with."""

    @cached_property
    def definition(self) -> dict[str, Any] | None:
        """The form as its user defined it; None for a form of the registry."""
        found = json.loads(self.definitions_json) if self.definitions_json else []
        return next((one for one in found if one["name"] == self.form), None)

    @cached_property
    def labels(self) -> dict[str, Any]:
        """Labels of the fit run: the domain, and of states that are not plain their method, variant or line ends."""
        return json.loads(self.labels_json) if self.labels_json else {}

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


def list_fits(con: duckdb.DuckDBPyConnection, *, experiment: str | None = None) -> list[FitRow]:
    """All fits, or those of one experiment: by domain, role (target first) and form, the newest first."""
    query = """
        SELECT f.*, r.experiment, f.params::VARCHAR AS params_json, f.scores::VARCHAR AS scores_json,
               (r.spec->'$.job.definitions')::VARCHAR AS definitions_json, r.labels::VARCHAR AS labels_json
        FROM fits f LEFT JOIN runs r USING (run_id) WHERE $1 IS NULL OR r.experiment = $1
        ORDER BY r.experiment, f.domain, f.role DESC, f.form, f.t DESC, f.fit_id
    """
    return fetch(con, FitRow, query, [experiment])


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
