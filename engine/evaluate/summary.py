"""What the per-token losses of an evaluation add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.spec.run import Scheme


@dataclass(frozen=True)
class Summary:
    """Sums over the tokens of one or several evaluations; those of two texts add up with ``+``."""

    tokens: int
    predicted: int
    n_bytes: int
    """Of the predicted tokens."""
    sum_loss: float
    """nats"""
    script_sum: float
    """Numerator of ``script_loss``; NaN for schemes that have none."""
    script_tokens: int

    @classmethod
    def of(cls, losses: NDArray[np.float32], token_sizes: NDArray[np.int64], scheme: Scheme) -> Summary:
        """Sums of ``losses`` (n,), NaN where nothing was predicted; ``token_sizes`` (n,) are bytes."""
        predicted = ~np.isnan(losses)
        script_sum, script_tokens = _script_sums(losses, scheme)
        return cls(
            tokens=len(losses),
            predicted=int(predicted.sum()),
            n_bytes=int(token_sizes[predicted].sum()),
            sum_loss=float(losses[predicted].sum(dtype=np.float64)),
            script_sum=script_sum,
            script_tokens=script_tokens,
        )

    def __add__(self, other: Summary) -> Summary:
        return Summary(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def loss(self) -> float:
        """Mean loss of a prediction (nats); NaN without predictions."""
        return self.sum_loss / self.predicted if self.predicted else math.nan

    @property
    def perplexity(self) -> float:
        return perplexity(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """Bits of all predictions over the bytes of the tokens they predict."""
        return self.sum_loss / math.log(2) / self.n_bytes if self.n_bytes else math.nan

    @property
    def script_loss(self) -> float:
        """M2D2's evaluation script (2210.07370): each block's mean over its length − 1 predictions, weighted by its
        length, as if its first token had been predicted too. Not ``loss``; NaN for every scheme but blocks without BOS.
        """
        return self.script_sum / self.script_tokens if self.script_tokens else math.nan

    @property
    def script_perplexity(self) -> float:
        return perplexity(self.script_loss)


def perplexity(loss: float) -> float:
    """exp(loss), infinite where it overflows."""
    return math.inf if loss > 700 else math.exp(loss)


def _script_sums(losses: NDArray[np.float32], scheme: Scheme) -> tuple[float, int]:
    """Σ mean · length and Σ length over the blocks. A last block of one token predicts nothing and is left out, where
    the script itself would give NaN."""
    if scheme.kind != "blocks" or scheme.bos:
        return math.nan, 0
    total, counted = 0.0, 0
    for start in range(0, len(losses), scheme.window):
        block = losses[start : start + scheme.window]
        if len(block) > 1:
            total += float(block[1:].mean(dtype=np.float64)) * len(block)
            counted += len(block)
    return total, counted
