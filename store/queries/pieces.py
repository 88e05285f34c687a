"""The losses of a pair token by token, in pieces of whole blocks: what ``store.pair_sums`` scans.

Lists come out of the database as Arrow arrays, twice as fast as their elements unnested into rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from store.arrays import numbers_of
from store.errors import DataError
from store.shards import BLOCK_TOKENS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from store.pair_sums import Piece
    from store.queries.tokens import Pair

BLOCKS = 512
"""Blocks of 1,024 tokens read at a time."""
_LISTS = """
SELECT t.block, t.token_ids, t.document, b.losses::FLOAT[] AS before, a.losses::FLOAT[] AS after
FROM eval_tokens t
JOIN token_losses b ON b.block = t.block AND b.evaluation_id = $2
JOIN token_losses a ON a.block = t.block AND a.evaluation_id = $3
WHERE t.eval_set_id = $1
"""


def read_pieces(con: duckdb.DuckDBPyConnection, pair: Pair) -> Iterator[Piece]:
    """Every block of the pair, in any order; ``OdysseyError`` where only sums are stored, ``DataError`` for losses
    that do not fit the tokens."""
    pair.need_tokens()
    found = con.sql(_LISTS, params=[pair.eval_set_id, *pair.ids])
    for batch in found.to_arrow_reader(BLOCKS):
        if batch.num_rows:
            yield _piece(batch, pair)


def _piece(batch: pa.RecordBatch, pair: Pair) -> Piece:
    import numpy as np

    from store.pair_sums import Piece

    names = ("token_ids", "document", "before", "after")
    lengths = batch.column("token_ids").value_lengths()
    if any(not batch.column(name).value_lengths().equals(lengths) for name in names):
        raise DataError(
            f"the losses of {' and '.join(pair.ids)} do not fit the tokens of {pair.before.eval_set}",
            "Run the evaluations again; `odyssey store check` tells what else is damaged.",
        )
    flat = {name: batch.column(name).flatten() for name in names}
    token_id, document = (numbers_of(flat[name], np.int32) for name in names[:2])
    before, after = (numbers_of(flat[name], np.float32) for name in names[2:])
    sizes = numbers_of(lengths, np.int32).astype(np.int64)
    firsts = numbers_of(batch.column("block"), np.int32).astype(np.int64) * BLOCK_TOKENS - (np.cumsum(sizes) - sizes)
    place = np.repeat(firsts, sizes) + np.arange(len(token_id))
    there = np.flatnonzero(~np.isnan(before + after))
    return Piece(*(column[there] for column in (place, token_id, document, before, after)))
