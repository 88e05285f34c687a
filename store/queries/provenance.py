"""What a run rests on: its texts and evaluation sets with their hashes, the models it started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Scored:
    """An evaluation set that a run's states were scored on."""

    eval_set_id: str
    name: str | None
    role: str | None
    split: str | None
    tokenizer_id: str | None
    n_tokens: int | None
    n_bytes: int | None
    fingerprint: str | None


@dataclass(frozen=True)
class Outside:
    """A model from outside that a run's states descend from, or that it scored."""

    model_id: str
    tokens_seen: int | None
    n_params: int | None


def list_scored(con: duckdb.DuckDBPyConnection, run_id: str) -> list[Scored]:
    """The evaluation sets of a run, by name."""
    query = """
        SELECT DISTINCT s.eval_set_id, s.name, s.role, s.split, s.tokenizer_id, s.n_tokens, s.n_bytes, s.fingerprint
        FROM evaluations e LEFT JOIN models m USING (model_id) JOIN eval_sets s USING (eval_set_id)
        WHERE coalesce(m.run_id, e.run_id) = $1 OR e.run_id = $1 ORDER BY s.name, s.eval_set_id
    """
    return fetch(con, Scored, query, [run_id])


def list_outside(con: duckdb.DuckDBPyConnection, model_ids: Sequence[str]) -> list[Outside]:
    """Those of the models that no run made."""
    query = """
        SELECT model_id, tokens_seen, n_params FROM models
        WHERE run_id IS NULL AND list_contains($1, model_id) ORDER BY model_id
    """
    return fetch(con, Outside, query, [list(model_ids)])
