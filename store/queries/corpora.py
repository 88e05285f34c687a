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


def list_corpora(con: duckdb.DuckDBPyConnection) -> list[CorpusRow]:
    """All corpora by name."""
    return fetch(
        con,
        CorpusRow,
        "SELECT corpus_key, name, source, fingerprint, n_documents, n_groups, bytes::VARCHAR AS bytes_json, "
        "tokens::VARCHAR AS tokens_json, duplicates FROM corpora ORDER BY name, corpus_key",
    )
