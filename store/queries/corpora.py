"""Corpora and evaluation sets: what text a workspace knows and how much of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class CorpusRow:
    """One corpus as snapshot; counts of bytes and tokens by split are JSON objects."""

    corpus_key: str
    name: str
    source: str
    fingerprint: str
    n_documents: int
    n_groups: int | None
    bytes_json: str | None
    tokens_json: str | None
    duplicates: int | None

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of text by split (train, valid, test)."""
        return json.loads(self.bytes_json) if self.bytes_json else {}

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens by split, of the splits that have been tokenised."""
        return json.loads(self.tokens_json) if self.tokens_json else {}


@dataclass(frozen=True)
class EvalSetRow:
    """One evaluation set: the text of one split in the tokens of one tokenizer, and the experiments that scored it."""

    eval_set_id: str
    name: str
    role: str | None
    tokenizer_id: str | None
    tokenizer: str | None
    split: str | None
    n_tokens: int | None
    n_bytes: int | None
    n_documents: int | None
    corpora: list[str]
    """Corpora whose documents it holds."""
    experiments: list[str]


def list_eval_sets(con: duckdb.DuckDBPyConnection) -> list[EvalSetRow]:
    """All evaluation sets by name."""
    return fetch(con, EvalSetRow, _EVAL_SETS)


def list_preparations(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """Run, experiment that asked first, and specification (JSON) of every preparation."""
    return con.execute(
        "SELECT run_id, coalesce(experiment, ''), spec::VARCHAR FROM runs WHERE kind = 'prepare' ORDER BY run_id"
    ).fetchall()


def list_corpora(con: duckdb.DuckDBPyConnection) -> list[CorpusRow]:
    """All corpora by name."""
    return fetch(
        con,
        CorpusRow,
        "SELECT corpus_key, name, source, fingerprint, n_documents, n_groups, bytes::VARCHAR AS bytes_json, "
        "tokens::VARCHAR AS tokens_json, duplicates FROM corpora ORDER BY name, corpus_key",
    )


_EVAL_SETS = """
WITH texts AS (SELECT eval_set_id, list_sort(list_distinct(list(corpus))) AS corpora FROM documents GROUP BY ALL),
scored AS (
    SELECT e.eval_set_id, list_sort(list_distinct(list(r.experiment))) AS experiments
    FROM evaluations e LEFT JOIN models m USING (model_id) JOIN runs r ON r.run_id = coalesce(m.run_id, e.run_id)
    WHERE r.experiment IS NOT NULL GROUP BY ALL
)
SELECT s.eval_set_id, coalesce(s.name, s.eval_set_id) AS name, s.role, s.tokenizer_id, k.source AS tokenizer, s.split,
    s.n_tokens, s.n_bytes, s.n_documents, coalesce(texts.corpora, []) AS corpora,
    coalesce(scored.experiments, []) AS experiments
FROM eval_sets s LEFT JOIN tokenizers k USING (tokenizer_id) LEFT JOIN texts USING (eval_set_id)
LEFT JOIN scored USING (eval_set_id)
ORDER BY s.name, s.eval_set_id
"""
