"""Passages of the text whose losses changed most, and the tokens of a block to show them with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import OdysseyError
from store.queries.pieces import read_pieces
from store.queries.rows import fetch_columns
from store.shards import BLOCK_TOKENS

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    from store.pair_sums import PassageSums
    from store.queries.tokens import Pair


@dataclass(frozen=True)
class Passage:
    """``PASSAGE_TOKENS`` consecutive tokens; ``start`` and ``stop`` are positions within the block.

    ``count`` of its positions count, with ``sum_delta`` nats together; ``document`` is that of the first of them.
    """

    block: int
    start: int
    stop: int
    document: int
    count: int
    sum_delta: float

    @property
    def place(self) -> int:
        """The number of its first token in the text."""
        return self.block * BLOCK_TOKENS + self.start


@dataclass(frozen=True)
class BlockTokens:
    """The tokens of one block in order, arrays of shape (tokens,); losses are NaN where nothing was predicted."""

    block: int
    token_id: np.ndarray
    text: np.ndarray
    token_class: np.ndarray
    document: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def delta(self) -> np.ndarray:
        """ℓ1 − ℓ0 in nats."""
        return self.after - self.before


def rank_passages(
    con: duckdb.DuckDBPyConnection,
    pair: Pair,
    *,
    limit: int = 100,
    token_ids: Iterable[int] | None = None,
    falling: bool = False,
) -> list[Passage]:
    """The passages whose loss rises most in sum (falls, if ``falling``), the first first; only at ``token_ids``, if
    they are given."""
    from store.pair_sums import PassageSums, choose, scan

    sums = PassageSums(None if token_ids is None else choose(token_ids))
    scan(read_pieces(con, pair), sums)
    return list_passages(sums, limit, falling=falling)


def list_passages(sums: PassageSums, limit: int, *, falling: bool = False) -> list[Passage]:
    """What a scan gathered, as passages."""
    from store.pair_sums import PASSAGE_TOKENS

    passages = []
    for number, count, sum_delta, document in sums.ranked(limit, falling=falling):
        block, start = divmod(number * PASSAGE_TOKENS, BLOCK_TOKENS)
        passages.append(Passage(block, start, start + PASSAGE_TOKENS, document, count, sum_delta))
    return passages


def read_block(con: duckdb.DuckDBPyConnection, pair: Pair, block: int) -> BlockTokens:
    """The tokens of one block with their losses before and after; ``OdysseyError`` when there is no such block."""
    pair.need_tokens()
    columns = fetch_columns(con, _BLOCK, [pair.eval_set_id, *pair.ids, pair.before.tokenizer_id, block])
    if not len(columns["token_id"]):
        raise OdysseyError(f"the evaluation set {pair.before.eval_set} has no block {block}")
    return BlockTokens(block, **columns)


_BLOCK = """
WITH tokens AS (
    SELECT unnest(range(len(t.token_ids))) AS i, unnest(t.token_ids) AS token_id, unnest(t.document) AS document,
        unnest(b.losses)::DOUBLE AS before, unnest(a.losses)::DOUBLE AS after
    FROM eval_tokens t
    JOIN token_losses b ON b.block = t.block AND b.evaluation_id = $2 AND b.block = $5
    JOIN token_losses a ON a.block = t.block AND a.evaluation_id = $3 AND a.block = $5
    WHERE t.eval_set_id = $1 AND t.block = $5
)
SELECT token_id, coalesce(v.text, '#' || token_id) AS text, coalesce(v.token_class, 'other') AS token_class,
    document, before, after
FROM tokens LEFT JOIN (SELECT * FROM vocabulary WHERE tokenizer_id = $4) v USING (token_id) ORDER BY i
"""
