"""What people ask of the sums in SQL: perplexities of all evaluations, whole or masked; losses by class of token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from store.queries.rows import fetch_columns

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    Columns = dict[str, np.ndarray]


def read_perplexities(
    con: duckdb.DuckDBPyConnection,
    evaluation_ids: Sequence[str],
    *,
    mask_classes: Sequence[str] = (),
    mask_tokens: Sequence[int] = (),
) -> Columns:
    """``evaluation_id predicted sum_loss loss ppl`` over the positions whose token type is not masked.

    In the order given; nats. ``loss`` and ``ppl`` are NaN where nothing is left, or where a mask needs sums that are
    not stored; evaluations that do not exist are left out.
    """
    if not mask_classes and not mask_tokens:
        return fetch_columns(con, _WHOLE + _PERPLEXITIES, [list(evaluation_ids)])
    return fetch_columns(con, _MASKED + _PERPLEXITIES, [list(evaluation_ids), list(mask_classes), list(mask_tokens)])


def read_class_sums(con: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str]) -> Columns:
    """``evaluation_id token_class types count sum_loss loss``: each class of tokens of each evaluation, in nats."""
    return fetch_columns(con, _CLASSES, [list(evaluation_ids)])


_WHOLE = """
WITH wanted AS (SELECT unnest($1) AS evaluation_id, unnest(range(len($1))) AS place),
left_over AS (SELECT place, evaluation_id, predicted, sum_loss FROM wanted JOIN evaluations USING (evaluation_id))
"""
_MASKED = """
WITH wanted AS (SELECT unnest($1) AS evaluation_id, unnest(range(len($1))) AS place),
scored AS (
    SELECT w.place, e.evaluation_id, e.predicted, e.sum_loss, s.tokenizer_id
    FROM wanted w JOIN evaluations e USING (evaluation_id) LEFT JOIN eval_sets s USING (eval_set_id)
), tokenizers AS (SELECT DISTINCT tokenizer_id FROM scored),
masked AS (
    SELECT tokenizer_id, token_id FROM vocabulary SEMI JOIN tokenizers USING (tokenizer_id)
    WHERE token_class IN (SELECT unnest($2::VARCHAR[]))
    UNION SELECT tokenizer_id, unnest($3::INTEGER[]) FROM tokenizers
), gone AS (
    SELECT t.evaluation_id, m.tokenizer_id, sum(t.n)::BIGINT AS n, sum(t.sum_loss) AS sum_loss
    FROM type_losses t JOIN masked m USING (token_id) SEMI JOIN wanted w ON w.evaluation_id = t.evaluation_id
    GROUP BY t.evaluation_id, m.tokenizer_id
), summed AS (
    SELECT evaluation_id, sum(n) AS n FROM document_losses SEMI JOIN wanted USING (evaluation_id) GROUP BY ALL
), left_over AS (
    SELECT s.place, s.evaluation_id,
        CASE WHEN k.n = s.predicted THEN s.predicted - coalesce(g.n, 0) END AS predicted,
        CASE WHEN k.n = s.predicted THEN s.sum_loss - coalesce(g.sum_loss, 0) END AS sum_loss
    FROM scored s LEFT JOIN gone g USING (evaluation_id, tokenizer_id) LEFT JOIN summed k USING (evaluation_id)
)
"""
_PERPLEXITIES = """
SELECT evaluation_id, predicted, sum_loss, sum_loss / nullif(predicted, 0) AS loss,
    exp(sum_loss / nullif(predicted, 0)) AS ppl
FROM left_over ORDER BY place
"""
_CLASSES = """
WITH wanted AS (SELECT unnest($1) AS evaluation_id, unnest(range(len($1))) AS place),
scored AS (
    SELECT place, evaluation_id, tokenizer_id
    FROM wanted JOIN evaluations USING (evaluation_id) LEFT JOIN eval_sets USING (eval_set_id)
)
SELECT t.evaluation_id, coalesce(v.token_class, 'other') AS token_class, count(*) AS types, sum(t.n)::BIGINT AS count,
    sum(t.sum_loss) AS sum_loss, sum(t.sum_loss) / sum(t.n) AS loss
FROM type_losses t JOIN scored s USING (evaluation_id)
LEFT JOIN vocabulary v ON v.tokenizer_id = s.tokenizer_id AND v.token_id = t.token_id
GROUP BY s.place, t.evaluation_id, coalesce(v.token_class, 'other') ORDER BY s.place, sum_loss DESC
"""
