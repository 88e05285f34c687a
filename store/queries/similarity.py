"""Similarities of domains to the pretraining text, as measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Similarity:
    """One measure of one domain; ``low`` and ``high`` bound it by bootstrap; ``higher_is_closer`` orients it."""

    run_id: str
    domain: str
    reference: str
    measure: str
    embedder: str
    encoder: str | None
    value: float
    low: float | None
    high: float | None
    n_samples: int | None
    seed: int | None
    higher_is_closer: bool


def similarities(con: duckdb.DuckDBPyConnection) -> list[Similarity]:
    """All similarities; of a repeated one, the newest."""
    return fetch(
        con,
        Similarity,
        """
        SELECT s.* FROM similarities s
        QUALIFY row_number() OVER (
            PARTITION BY s.domain, s.reference, s.measure, s.embedder, s.encoder, s.seed
            ORDER BY s.t DESC, s.run_id
        ) = 1
        ORDER BY s.measure, s.embedder, s.encoder, s.domain, s.seed
        """,
    )
