"""Evaluations: losses of model states, before and after adaptation, in the units of the field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from store.errors import OdysseyError
from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class StateEvaluation:
    """One model state on one evaluation set, beside its parent's (zero-shot) evaluation on the same set and scheme.

    Losses in nats per predicted token; perplexity = exp(loss); bits per byte = Σ loss / (ln 2 · bytes). The zero-shot
    fields and ``delta`` are None for a base state, or while the parent has not been evaluated.
    """

    evaluation_id: str
    run_id: str | None
    """The run the state belongs to; None for a model from outside the workspace."""
    model_id: str
    role: str
    eval_set_id: str
    eval_set: str
    tokenizer_id: str | None
    scheme_json: str
    predicted: int
    n_bytes: int | None
    loss: float
    ppl: float
    bits_per_byte: float | None
    n_params: int | None
    ptpp: float | None
    atpp: float | None
    adapt_tokens: int | None
    interpolation: float | None
    """Share of the adapted weights in a state between its parent and the adapted one; None for a trained state."""
    parent: str | None
    zero_shot_evaluation_id: str | None
    zero_shot_loss: float | None
    zero_shot_ppl: float | None
    zero_shot_bits_per_byte: float | None
    delta: float | None
    """``loss - zero_shot_loss``."""
    has_tokens: bool
    """Whether per-token losses are stored."""
    has_sums: bool
    """Whether the sums by token type and by document are stored, of everything that was predicted."""

    @cached_property
    def scheme(self) -> dict[str, Any]:
        """How the loss was computed: kind, window, stride, bos, precision."""
        return json.loads(self.scheme_json)

    @property
    def has_ledger(self) -> bool:
        """Whether there is what a token ledger is made of."""
        return self.has_sums or self.has_tokens

    @property
    def state(self) -> str:
        """The state within its run (``ptpp15``, ``atpp4``), or the revision of an outside model."""
        return self.model_id.rpartition("@")[2]


_SELECT = """
WITH scored AS (
    SELECT e.*, s.name AS eval_set, s.tokenizer_id, e.sum_loss / nullif(e.predicted, 0) AS loss,
        e.sum_loss / ln(2) / nullif(coalesce(e.n_bytes, s.n_bytes), 0) AS bits_per_byte
    FROM evaluations e LEFT JOIN eval_sets s USING (eval_set_id)
), stored AS (SELECT DISTINCT evaluation_id FROM token_losses
), summed AS (SELECT evaluation_id, sum(n) AS n FROM document_losses GROUP BY evaluation_id)
SELECT e.evaluation_id, m.run_id, e.model_id, e.role, e.eval_set_id, coalesce(e.eval_set, e.eval_set_id) AS eval_set,
    e.tokenizer_id, e.scheme::VARCHAR AS scheme_json, e.predicted, e.n_bytes,
    e.loss, exp(e.loss) AS ppl, e.bits_per_byte,
    m.n_params, coalesce(m.ptpp, p.ptpp) AS ptpp, m.atpp, m.adapt_tokens, m.interpolation, m.parent,
    z.evaluation_id AS zero_shot_evaluation_id, z.loss AS zero_shot_loss, exp(z.loss) AS zero_shot_ppl,
    z.bits_per_byte AS zero_shot_bits_per_byte, e.loss - z.loss AS delta, k.evaluation_id IS NOT NULL AS has_tokens,
    coalesce(d.n = e.predicted, false) AS has_sums
FROM scored e
LEFT JOIN models m USING (model_id)
LEFT JOIN models p ON p.model_id = m.parent
LEFT JOIN scored z ON z.model_id = m.parent AND z.eval_set_id = e.eval_set_id AND z.scheme = e.scheme
LEFT JOIN stored k ON k.evaluation_id = e.evaluation_id
LEFT JOIN summed d ON d.evaluation_id = e.evaluation_id
"""
_ORDER = " ORDER BY m.run_id, e.role = 'base', e.role, eval_set, coalesce(m.tokens_seen, 0), m.atpp, m.ptpp, e.model_id"


def list_evaluations(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str] | None = None) -> list[StateEvaluation]:
    """Evaluations of the states of these runs (of all, if None): by run, role, set, then budget."""
    if run_ids is None:
        return fetch(con, StateEvaluation, _SELECT + _ORDER)
    return fetch(con, StateEvaluation, _SELECT + " WHERE m.run_id IN (SELECT unnest(?))" + _ORDER, [list(run_ids)])


def list_model_evaluations(con: duckdb.DuckDBPyConnection, model_ids: Sequence[str]) -> list[StateEvaluation]:
    """Evaluations of these model states, e.g. of a run's base state."""
    return fetch(con, StateEvaluation, _SELECT + " WHERE e.model_id IN (SELECT unnest(?))" + _ORDER, [list(model_ids)])


def find_evaluation(con: duckdb.DuckDBPyConnection, wanted: str) -> StateEvaluation:
    """The evaluation of this identifier or unique beginning of one; ``OdysseyError`` otherwise."""
    found = con.execute(
        "SELECT evaluation_id FROM evaluations WHERE starts_with(evaluation_id, $1) "
        "ORDER BY evaluation_id <> $1, evaluation_id",
        [wanted],
    ).fetchall()
    names = [name for (name,) in found]
    if not names or not wanted:
        raise OdysseyError(f"no evaluation is called {wanted!r}", "`odyssey show RUN` lists a run's evaluations.")
    if len(names) > 1 and names[0] != wanted:
        raise OdysseyError(
            f"{wanted!r} fits several evaluations: {', '.join(names[:8])}", "Give more of the identifier."
        )
    return fetch(con, StateEvaluation, _SELECT + " WHERE e.evaluation_id = ?", [names[0]])[0]
