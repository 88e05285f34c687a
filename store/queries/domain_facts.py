"""What surrounds a change of loss on a domain: the scored text, how the run came about, how much it could read.

All of it is derived from what runs left; nothing here needs a column of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Scored:
    """What one evaluation predicted."""

    evaluation_id: str
    predicted: int
    n_bytes: int | None
    """Of the predicted tokens, else of the whole set."""
    newline_share: float | None
    """Newline tokens among the predicted ones; None where sums by type, or classes of the tokenizer, are not stored."""


def read_scored(con: duckdb.DuckDBPyConnection, evaluation_ids: Iterable[str | None]) -> dict[str, Scored]:
    """By evaluation; unknown identifiers are left out."""
    found = fetch(
        con,
        Scored,
        """
        WITH wanted AS (SELECT * FROM evaluations WHERE list_contains($1, evaluation_id)
        ), counted AS (
            SELECT t.evaluation_id, count(v.token_id) AS classified,
                sum(t.n) FILTER (v.token_class = 'newline') AS newlines, sum(t.n) AS n
            FROM type_losses t JOIN wanted e USING (evaluation_id) JOIN eval_sets s USING (eval_set_id)
            LEFT JOIN vocabulary v ON v.tokenizer_id = s.tokenizer_id AND v.token_id = t.token_id
            GROUP BY t.evaluation_id
        )
        SELECT e.evaluation_id, e.predicted, coalesce(e.n_bytes, s.n_bytes) AS n_bytes,
            CASE WHEN c.classified > 0 THEN coalesce(c.newlines, 0) / c.n END AS newline_share
        FROM wanted e LEFT JOIN eval_sets s USING (eval_set_id) LEFT JOIN counted c USING (evaluation_id)
        """,
        [sorted({one for one in evaluation_ids if one is not None})],
    )
    return {one.evaluation_id: one for one in found}


def training_tokens(con: duckdb.DuckDBPyConnection, run_ids: Iterable[str]) -> dict[str, float]:
    """Tokens that the train split of its domain held for each adaptation: what it read over how often it read it."""
    found = con.execute(
        """
        SELECT run_id, median(target_tokens / target_epochs) FROM mixtures
        WHERE list_contains($1, run_id) AND target_epochs > 0 AND target_tokens > 0 GROUP BY run_id
        """,
        [sorted(set(run_ids))],
    ).fetchall()
    return dict(found)


@dataclass(frozen=True)
class Recipe:
    """How a run was made, as plain JSON: whatever of its job is not its place in a sweep."""

    training: Mapping[str, Any]
    method: Mapping[str, Any]
    corpora: tuple[str, ...]
    """Names of the corpora that a base was pretrained on, or that an adaptation replays."""


def read_recipes(con: duckdb.DuckDBPyConnection) -> dict[str, Recipe]:
    """Of every run that trains."""
    found = con.execute(
        """
        SELECT run_id, (spec->'job'->'training')::VARCHAR, (spec->'job'->'method')::VARCHAR,
            (spec->'job'->(CASE kind WHEN 'pretrain' THEN 'corpora' ELSE 'replay' END)->>'$[*].name')
        FROM runs WHERE kind IN ('pretrain', 'adapt')
        """
    ).fetchall()
    return {
        run_id: Recipe(json.loads(training or "{}"), json.loads(method or "{}"), tuple(map(str, names or ())))
        for run_id, training, method, names in found
    }


@dataclass(frozen=True)
class BaseState:
    """A model state that was adapted."""

    model_id: str
    run_id: str | None
    source: str | None
    """Hub identifier or folder of a model from outside."""


def base_states(con: duckdb.DuckDBPyConnection) -> dict[str, BaseState]:
    """Every state that has been adapted, by identifier."""
    query = "SELECT model_id, run_id, source FROM models WHERE model_id IN (SELECT parent FROM models)"
    return {one.model_id: one for one in fetch(con, BaseState, query)}
