"""Format audits that were recorded, and what was measured of the harm they warn of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Rise:
    """Loss of a class of tokens after minus before adapting to text without it, in nats per token of the class."""

    token_class: str
    domain: str
    eval_set: str
    model_id: str
    n: int
    delta: float


def measured_rises(con: duckdb.DuckDBPyConnection) -> list[Rise]:
    """What adapting to stripped text did to line ends, of every state that was scored on text that has them."""
    return fetch(con, Rise, _RISES)


_RISES = """
SELECT v.token_class, p.domain, s.name AS eval_set, p.model_id, sum(a.n)::BIGINT AS n,
    sum(a.sum_loss - b.sum_loss) / sum(a.n) AS delta
FROM adaptation_points p
JOIN eval_sets s USING (eval_set_id)
JOIN type_losses a ON a.evaluation_id = p.evaluation_id
JOIN type_losses b ON b.evaluation_id = p.zero_shot_evaluation_id AND b.token_id = a.token_id AND b.n = a.n
JOIN vocabulary v ON v.tokenizer_id = s.tokenizer_id AND v.token_id = a.token_id
WHERE p.newlines = 'strip' AND v.token_class = 'newline'
GROUP BY ALL ORDER BY p.domain, s.name, p.model_id
"""
