"""How much context each predicted token had, from the scheme alone: what a loss by position is grouped by.

Mirrors ``engine.evaluate.windows``; a test compares the two token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from store.errors import DataError
from store.queries.pieces import read_pieces

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    from store.queries.tokens import Pair

    Context = Callable[[np.ndarray], np.ndarray]

BUCKETS = 64


def read_position_curve(con: duckdb.DuckDBPyConnection, pair: Pair, *, buckets: int = BUCKETS) -> dict[str, np.ndarray]:
    """Mean losses by how many tokens the model had read, BOS included: ``position`` (start of bucket), ``count``,
    ``before``, ``after``."""
    from store.pair_sums import PositionSums, scan

    sums = PositionSums(context_in(con, pair), bucket_width(pair.window, buckets))
    scan(read_pieces(con, pair), sums)
    return sums.columns()


def bucket_width(window: int, buckets: int = BUCKETS) -> int:
    """Tokens of context in one bucket, so that a window has at most ``buckets``."""
    return max(1, -(-window // buckets))


def context_in(con: duckdb.DuckDBPyConnection, pair: Pair) -> Context:
    """``context_of`` for the pair's scheme and text."""
    pair.need_tokens()
    (n_tokens,) = con.execute(
        "SELECT coalesce(sum(len(token_ids)), 0) FROM eval_tokens WHERE eval_set_id = ?", [pair.eval_set_id]
    ).fetchall()[0]
    return context_of(pair.before.scheme, n_tokens)


def context_of(scheme: Mapping[str, Any], n_tokens: int) -> Context:
    """Function of the numbers of tokens within the stream: tokens, BOS included, that the model had read before each.

    ``n_tokens`` is the length of the stream. ``DataError`` for a scheme this does not know.
    """
    kind, window = scheme.get("kind"), scheme.get("window")
    if kind not in _KINDS or not isinstance(window, int):
        raise DataError(f"positions in the window of the scheme {dict(scheme)} are not known")
    bos = int(bool(scheme.get("bos")))
    payload = window - bos if kind != "rolling" else window
    stride = scheme.get("stride") or payload
    if payload < 1:
        raise DataError(f"a window of {window} tokens predicts nothing")
    return _KINDS[kind](payload, stride, bos, n_tokens)


def _blocks(payload: int, stride: int, bos: int, n_tokens: int) -> Context:
    return lambda token: token % payload + bos


def _strided(payload: int, stride: int, bos: int, n_tokens: int) -> Context:
    def context(token: np.ndarray) -> np.ndarray:
        # The first window that reaches a token predicts it.
        windows = ((token - payload) // stride + 1).clip(0)
        return token - windows * stride + bos

    return context


def _rolling(payload: int, stride: int, bos: int, n_tokens: int) -> Context:
    def context(token: np.ndarray) -> np.ndarray:
        # The last window reaches back to full length; the first has nothing to reach back to.
        end = ((token // payload + 1) * payload).clip(max=n_tokens)
        later = token >= payload
        return token + 1 + later * (payload - end)

    return context


_KINDS: Mapping[str, Callable[[int, int, int, int], Context]] = {
    "blocks": _blocks,
    "strided": _strided,
    "rolling": _rolling,
}
