"""Which tokenizer stands behind a loss: losses per token of two tokenizers have different units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class ScoredText:
    """An evaluation set: a text as one tokenizer cuts it."""

    eval_set_id: str
    name: str
    tokenizer_id: str | None
    split: str | None
    fingerprint: str | None
    """Of the text, whatever the tokenizer and the cut."""
    n_tokens: int | None
    n_bytes: int | None


def list_texts(con: duckdb.DuckDBPyConnection, eval_set_ids: Iterable[str | None] | None = None) -> list[ScoredText]:
    """These evaluation sets, or all; unknown identifiers (of imported tables, say) are left out."""
    wanted = None if eval_set_ids is None else sorted({one for one in eval_set_ids if one is not None})
    return fetch(
        con,
        ScoredText,
        "SELECT eval_set_id, coalesce(name, eval_set_id) AS name, tokenizer_id, split, fingerprint, n_tokens, n_bytes "
        "FROM eval_sets WHERE $1 IS NULL OR list_contains($1, eval_set_id) ORDER BY name, eval_set_id",
        [wanted],
    )


def name_tokenizers(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """What each tokenizer is: the hub's name or folder, or what it was trained on; and its size."""
    found = con.execute("SELECT tokenizer_id, coalesce(source, tokenizer_id), vocab_size FROM tokenizers").fetchall()
    return {one: f"{source}, {size:,} tokens" if size else source for one, source, size in found}


def find_tokenizers(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> dict[str, str | None]:
    """The tokenizer of each run; None where nothing says it (runs that other tools recorded).

    Before a run has a state of its own, another one that asks for the same tokenizer tells; before any has one, what is
    asked for stands for it.
    """
    found = con.execute(
        """
        WITH asking AS (
            SELECT r.run_id, r.spec->'job'->'tokenizer' AS asked, any_value(m.tokenizer_id) AS tokenizer_id
            FROM runs r LEFT JOIN models m ON m.run_id = r.run_id GROUP BY ALL
        ), known AS (
            SELECT asked, any_value(tokenizer_id) AS tokenizer_id FROM asking GROUP BY asked
        )
        SELECT run_id, coalesce(a.tokenizer_id, k.tokenizer_id, a.asked::VARCHAR)
        FROM asking a LEFT JOIN known k USING (asked) WHERE list_contains($1, run_id)
        """,
        [list(run_ids)],
    ).fetchall()
    return dict(found)
