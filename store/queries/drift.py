"""Drifts: what moved between two states of a model, as a whole and by type of target token."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from store.queries.rows import fetch, fetch_columns

if TYPE_CHECKING:
    import duckdb
    import numpy as np


@dataclass(frozen=True)
class DriftRow:
    """One drift. Losses are means in nats over ``positions``: of hidden states and output layer both as before, both as
    after, and with one of the two as after (``loss_output``, ``loss_hidden``)."""

    drift_id: str
    run_id: str
    t: float
    model_before: str
    model_after: str
    evaluation_before: str
    evaluation_after: str
    eval_set_id: str
    eval_set: str
    role: str | None
    scheme_json: str
    max_tokens: int
    positions: int
    predicted: int
    tied: bool
    loss_before: float
    loss_after: float
    loss_output: float
    loss_hidden: float
    hidden_drift: float
    hidden_cosine: float
    input_drift: float
    output_drift: float
    adapted_run: str | None
    """The run that the state after belongs to."""

    @cached_property
    def scheme(self) -> dict[str, Any]:
        """How the text was fed: kind, window, stride, bos."""
        return json.loads(self.scheme_json)


_SELECT = """
SELECT d.*, coalesce(s.name, d.eval_set_id) AS eval_set, d.scheme::VARCHAR AS scheme_json, m.run_id AS adapted_run
FROM drifts d LEFT JOIN eval_sets s USING (eval_set_id) LEFT JOIN models m ON m.model_id = d.model_after
"""
_NEWEST = " ORDER BY positions DESC, t DESC, drift_id"


def drifts_of_run(con: duckdb.DuckDBPyConnection, run_id: str) -> list[DriftRow]:
    """What one drift run measured."""
    return fetch(con, DriftRow, _SELECT + " WHERE d.run_id = ? ORDER BY eval_set, drift_id", [run_id])


def find_drift(con: duckdb.DuckDBPyConnection, before_id: str, after_id: str) -> DriftRow | None:
    """The drift between two evaluated states on the text of these evaluations: that of most positions, then the newest.

    None when nobody has measured it.
    """
    query = _SELECT + " WHERE d.evaluation_before = ? AND d.evaluation_after = ?" + _NEWEST + " LIMIT 1"
    found = fetch(con, DriftRow, query, [before_id, after_id])
    return found[0] if found else None


def read_type_drifts(con: duckdb.DuckDBPyConnection, drift_id: str) -> dict[str, np.ndarray]:
    """By type of target token, the largest rise first: ``token_id text token_class n``, sums and drifts (NaN for null).

    ``sum_before sum_after sum_output sum_hidden`` in nats, ``hidden_drift hidden_cosine input_drift input_cosine
    output_drift output_cosine``.
    """
    return fetch_columns(con, _TYPES, [drift_id])


_TYPES = """
SELECT t.token_id, coalesce(v.text, '#' || t.token_id) AS text, coalesce(v.token_class, 'other') AS token_class,
    t.* EXCLUDE (drift_id, token_id)
FROM type_drifts t JOIN drifts d USING (drift_id) LEFT JOIN eval_sets s USING (eval_set_id)
LEFT JOIN vocabulary v ON v.tokenizer_id = s.tokenizer_id AND v.token_id = t.token_id
WHERE t.drift_id = ? ORDER BY t.sum_after - t.sum_before DESC, t.token_id
"""
