"""How much context each predicted token had, from the scheme alone: what a loss by position is grouped by.

Mirrors ``engine.evaluate.windows`` in SQL; a test compares the two token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from store.errors import DataError
from store.shards import BLOCK_TOKENS

TOKEN = f"(block::BIGINT * {BLOCK_TOKENS} + i)"
"""Number of a token within the stream."""


def context_of(scheme: Mapping[str, Any], n_tokens: int) -> str:
    """SQL over ``block`` and ``i``: tokens, BOS included, that the model had read before it predicted that token.

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


def _blocks(payload: int, stride: int, bos: int, n_tokens: int) -> str:
    return f"({TOKEN} % {payload} + {bos})"


def _strided(payload: int, stride: int, bos: int, n_tokens: int) -> str:
    # The first window that reaches a token predicts it.
    later = f"{TOKEN} - (({TOKEN} - {payload}) // {stride} + 1) * {stride}"
    return f"(CASE WHEN {TOKEN} < {payload} THEN {TOKEN} ELSE {later} END + {bos})"


def _rolling(payload: int, stride: int, bos: int, n_tokens: int) -> str:
    # The last window reaches back to full length.
    end = f"least(({TOKEN} // {payload} + 1) * {payload}, {n_tokens})"
    return f"(CASE WHEN {TOKEN} < {payload} THEN {TOKEN} + 1 ELSE {TOKEN} - {end} + {payload + 1} END)"


_KINDS: Mapping[str, Callable[[int, int, int, int], str]] = {
    "blocks": _blocks,
    "strided": _strided,
    "rolling": _rolling,
}
