"""Every adapted state on every set it was scored on, with its zero-shot score and all that tells it apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class ScoredState:
    """An adapted state, or one interpolated with its base, on one set. Losses in nats per predicted token.

    A loss is None or not finite where nothing could be predicted; zero-shot values are None until the base state has
    been scored on the set by the same scheme.
    """

    evaluation_id: str
    zero_shot_evaluation_id: str | None
    model_id: str
    base_model_id: str
    run_id: str
    experiment: str | None
    queued: float | None
    """When the run was queued, unix seconds."""
    domain: str | None
    size: str | None
    n_params: int | None
    ptpp: float | None
    method: str | None
    rank: int | None
    lr: float | None
    replay_ratio: float | None
    variant: str | None
    newlines: str
    """Line ends of the training text: keep or strip."""
    interpolation: float | None
    """α of weights between base and adapted; None for a trained state."""
    atpp: float | None
    adapt_tokens: int | None
    seed: int | None
    role: str
    eval_set_id: str
    eval_set: str
    split: str | None
    fingerprint: str | None
    """Of the text, whatever the tokenizer and the cut."""
    set_bytes: int | None
    """Of the whole set."""
    tokenizer_id: str | None
    scheme_json: str
    predicted: int | None
    n_bytes: int | None
    """Of the predicted tokens."""
    loss: float | None
    zero_shot_loss: float | None
    bits: float | None
    """Bits per byte."""
    zero_shot_bits: float | None


def scored_states(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str] | None = None) -> list[ScoredState]:
    """All of these runs, or of all; by domain, run, state and set."""
    return fetch(
        con,
        ScoredState,
        """
        WITH scored AS (
            SELECT e.*, coalesce(s.name, e.eval_set_id) AS eval_set, s.split, s.fingerprint, s.tokenizer_id,
                s.n_bytes AS set_bytes, coalesce(e.n_bytes, s.n_bytes) AS bytes,
                e.sum_loss / nullif(e.predicted, 0) AS loss,
                e.sum_loss / ln(2) / nullif(coalesce(e.n_bytes, s.n_bytes), 0) AS bits
            FROM evaluations e LEFT JOIN eval_sets s USING (eval_set_id)
        )
        SELECT e.evaluation_id, z.evaluation_id AS zero_shot_evaluation_id, m.model_id, m.parent AS base_model_id,
            m.run_id, r.experiment, r.queued, coalesce(m.domain, r.domain) AS domain, r.size,
            coalesce(p.n_params, m.n_params) AS n_params, coalesce(m.ptpp, p.ptpp) AS ptpp,
            coalesce(m.method, r.method) AS method, try_cast(r.labels->>'rank' AS BIGINT) AS rank,
            try_cast(r.labels->>'lr' AS DOUBLE) AS lr, coalesce(m.replay_ratio, r.replay_ratio) AS replay_ratio,
            r.labels->>'variant' AS variant, coalesce(r.labels->>'newlines', 'keep') AS newlines, m.interpolation,
            m.atpp, m.adapt_tokens, r.seed, coalesce(e.role, 'other') AS role, e.eval_set_id, e.eval_set, e.split,
            e.fingerprint, e.set_bytes, e.tokenizer_id, e.scheme::VARCHAR AS scheme_json, e.predicted,
            e.bytes AS n_bytes, e.loss, z.loss AS zero_shot_loss, e.bits, z.bits AS zero_shot_bits
        FROM models m JOIN scored e USING (model_id) JOIN runs r ON r.run_id = m.run_id
        LEFT JOIN models p ON p.model_id = m.parent
        LEFT JOIN scored z ON z.model_id = m.parent AND z.eval_set_id = e.eval_set_id AND z.scheme = e.scheme
        WHERE m.parent IS NOT NULL AND m.atpp > 0 AND ($1 IS NULL OR list_contains($1, m.run_id))
        ORDER BY domain, m.run_id, m.atpp, m.interpolation NULLS LAST, e.role = 'base', e.eval_set, e.eval_set_id
        """,
        [None if run_ids is None else list(run_ids)],
    )


def sets_of(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names of the evaluation sets that each run's specification asks for."""
    found = con.execute(
        "SELECT run_id, json_extract_string(spec, '$.job.evaluation.sets[*].name') FROM runs "
        "WHERE list_contains($1, run_id)",
        [list(run_ids)],
    ).fetchall()
    return {run_id: tuple(names or ()) for run_id, names in found}
