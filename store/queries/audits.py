"""Format audits that were recorded, and what was measured of the harm they warn of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


def list_audits(con: duckdb.DuckDBPyConnection, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Audits as the engine recorded them (``engine.audit.texts``), of these domains or evaluation sets (None: of all):
    by domain, those of a text with its own sets first."""
    found = con.execute(_AUDITS, [None if names is None else list(names)])
    columns = [column[0] for column in found.description]
    return [_parse(dict(zip(columns, row, strict=True))) for row in found.fetchall()]


def _parse(record: dict[str, Any]) -> dict[str, Any]:
    parsed = {name: json.loads(record[name]) if record[name] is not None else None for name in _JSON}
    return {**record, **parsed}


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
_JSON = ("train", "evaluation", "classes", "types", "overlap", "findings")
_AUDITS = """
SELECT * EXCLUDE (run_id, attempt, seq, t) FROM audits
WHERE $1 IS NULL OR list_contains($1, domain) OR list_contains($1, eval_set)
ORDER BY domain, own DESC, newlines, separator, eval_set, audit_id
"""
