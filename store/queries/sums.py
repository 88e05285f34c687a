"""Losses summed by token type and by document, for any number of pairs: each answer is one query.

A pair is two evaluations, before and after, of one text by one scheme, which therefore predicted the same positions;
where the sums say otherwise, the answer names the pair's counts apart (``count`` and ``count_after``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from store.queries.rows import fetch_columns

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    Columns = dict[str, np.ndarray]
    Ids = Sequence[tuple[str, str]]


def read_type_changes(con: duckdb.DuckDBPyConnection, pairs: Ids) -> Columns:
    """Sums of every token type of every pair, within a pair the largest rise first.

    ``pair`` (index), ``token_id text token_class count count_after sum_before sum_after``.
    """
    return fetch_columns(con, _TYPE_CHANGES, _lists(pairs))


def read_document_changes(con: duckdb.DuckDBPyConnection, pairs: Ids) -> Columns:
    """Sums of every document of every pair: ``pair document count count_after sum_before sum_after sum_delta``."""
    return fetch_columns(con, _DOCUMENT_CHANGES, _lists(pairs))


def read_class_changes(con: duckdb.DuckDBPyConnection, pairs: Ids) -> Columns:
    """Sums of every token class of every pair: ``pair token_class count count_after sum_before sum_after``."""
    return fetch_columns(con, _CLASS_CHANGES, _lists(pairs))


def agree(columns: Columns) -> bool:
    """Whether a pair's evaluations predicted the same number of positions everywhere."""
    return bool(len(columns["count"]) and (columns["count"] == columns["count_after"]).all())


def _lists(pairs: Ids) -> list[list[str]]:
    return [[before for before, _ in pairs], [after for _, after in pairs]]


_PAIRS = """
WITH pairs AS (SELECT unnest(range(len($1))) AS pair, unnest($1) AS before_id, unnest($2) AS after_id)
"""
_TYPE_CHANGES = (
    _PAIRS
    + """
, before AS (SELECT pair, t.* FROM type_losses t JOIN pairs ON t.evaluation_id = before_id),
after AS (SELECT pair, t.* FROM type_losses t JOIN pairs ON t.evaluation_id = after_id),
tokenizers AS (
    SELECT pair, tokenizer_id FROM pairs JOIN evaluations e ON e.evaluation_id = before_id
    JOIN eval_sets USING (eval_set_id)
)
SELECT pair, token_id, coalesce(v.text, '#' || token_id) AS text, coalesce(v.token_class, 'other') AS token_class,
    coalesce(b.n, 0) AS count, coalesce(a.n, 0) AS count_after,
    coalesce(b.sum_loss, 0) AS sum_before, coalesce(a.sum_loss, 0) AS sum_after
FROM before b FULL JOIN after a USING (pair, token_id)
LEFT JOIN tokenizers USING (pair) LEFT JOIN vocabulary v USING (tokenizer_id, token_id)
ORDER BY pair, sum_after - sum_before DESC, token_id
"""
)
_DOCUMENT_CHANGES = (
    _PAIRS
    + """
, before AS (SELECT pair, d.* FROM document_losses d JOIN pairs ON d.evaluation_id = before_id),
after AS (SELECT pair, d.* FROM document_losses d JOIN pairs ON d.evaluation_id = after_id)
SELECT pair, document, coalesce(b.n, 0) AS count, coalesce(a.n, 0) AS count_after,
    coalesce(b.sum_loss, 0) AS sum_before, coalesce(a.sum_loss, 0) AS sum_after,
    coalesce(a.sum_loss, 0) - coalesce(b.sum_loss, 0) AS sum_delta
FROM before b FULL JOIN after a USING (pair, document) ORDER BY pair, document
"""
)
_CLASS_CHANGES = (
    _PAIRS
    + """
, classes AS (
    SELECT e.evaluation_id, coalesce(v.token_class, 'other') AS token_class, sum(t.n) AS n, sum(t.sum_loss) AS sum_loss
    FROM type_losses t JOIN evaluations e USING (evaluation_id) JOIN eval_sets s USING (eval_set_id)
    LEFT JOIN vocabulary v ON v.tokenizer_id = s.tokenizer_id AND v.token_id = t.token_id
    WHERE list_contains($1, t.evaluation_id) OR list_contains($2, t.evaluation_id) GROUP BY ALL
), before AS (SELECT pair, c.* FROM classes c JOIN pairs ON c.evaluation_id = before_id),
after AS (SELECT pair, c.* FROM classes c JOIN pairs ON c.evaluation_id = after_id)
SELECT pair, token_class, coalesce(b.n, 0) AS count, coalesce(a.n, 0) AS count_after,
    coalesce(b.sum_loss, 0) AS sum_before, coalesce(a.sum_loss, 0) AS sum_after
FROM before b FULL JOIN after a USING (pair, token_class) ORDER BY pair, token_class
"""
)
