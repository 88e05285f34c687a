"""Windows over a token stream: what is fed to the model, and which tokens each window predicts.

Tokens are numbered 0 … n−1. No scheme predicts a token twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.spec.run import Scheme


@dataclass(frozen=True)
class Window:
    """The model reads tokens [``start``, ``stop``), after BOS if ``bos``, and predicts [``first``, ``last``)."""

    start: int
    stop: int
    first: int
    last: int
    bos: bool

    @property
    def length(self) -> int:
        """Positions fed, BOS included."""
        return self.stop - self.start + self.bos

    @property
    def first_row(self) -> int:
        """The position whose output predicts token ``first``."""
        return self.first - self.start - 1 + self.bos


def plan_windows(n_tokens: int, scheme: Scheme) -> list[Window]:
    """The windows of ``scheme`` over ``n_tokens`` tokens, at most ``scheme.window`` positions each.

    ``blocks`` and ``strided`` with ``bos`` put BOS in front of every window, in one of its places, so that its first
    token is predicted too; ``rolling`` puts BOS before the first token of the stream only. ``ConfigError`` for a stride
    that leaves gaps or a window too short to predict anything.
    """
    payload = scheme.window - 1 if scheme.bos and scheme.kind != "rolling" else scheme.window
    stride = scheme.stride if scheme.stride is not None else payload
    if scheme.kind == "strided" and stride > payload:
        raise ConfigError(
            f"scheme: stride {stride} is longer than the {payload} tokens of a window",
            "Tokens between two windows would never be predicted; use a smaller stride.",
        )
    if payload < (1 if scheme.bos or scheme.kind == "rolling" else 2):
        raise ConfigError(f"scheme: a window of {scheme.window} predicts nothing", "Use a longer window.")
    return list(_KINDS[scheme.kind](n_tokens, payload, stride, scheme.bos))


def _blocks(n_tokens: int, payload: int, stride: int, bos: bool) -> Iterator[Window]:
    for start in range(0, n_tokens, payload):
        stop = min(start + payload, n_tokens)
        yield Window(start, stop, start if bos else start + 1, stop, bos)


def _strided(n_tokens: int, payload: int, stride: int, bos: bool) -> Iterator[Window]:
    done = 0 if bos else 1
    for start in range(0, n_tokens, stride):
        stop = min(start + payload, n_tokens)
        # Windows that do not overlap leave each one's first token without context, as blocks do.
        yield Window(start, stop, max(done, start if bos else start + 1), stop, bos)
        done = stop
        if stop == n_tokens:
            return


def _rolling(n_tokens: int, payload: int, stride: int, bos: bool) -> Iterator[Window]:
    """lm-evaluation-harness, ``get_rolling_token_windows``, context 1: the last window reaches back to full length."""
    first = min(payload, n_tokens)
    if first:
        yield Window(0, first - 1, 0, first, True)
    for done in range(first, n_tokens, payload):
        end = min(done + payload, n_tokens)
        yield Window(end - payload - 1, end - 1, done, end, False)


_KINDS = {"blocks": _blocks, "strided": _strided, "rolling": _rolling}
