"""What one part of a step is trained on: sequences, the weight of each target, and where documents begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Some sequences of a step. ``None`` stands for the plain case and costs nothing."""

    tokens: np.ndarray
    """int64 (rows, length)."""
    weights: np.ndarray | None
    """float32 (rows, length − 1): what the loss of each target is multiplied by; None: 1 for all."""
    divergence: np.ndarray | None
    """float32 (rows, length − 1): weight of the divergence from the base model at each target; None: 0 for all."""
    documents: np.ndarray | None
    """int32 (rows, length): number of a token's document within its row; None: every token sees all before it."""
    targets: int
    """Targets that are not left out: what the step's loss is divided by, summed over the step."""


class Objective(Protocol):
    """What is asked of the model at each target."""

    def prepare(self, tokens: np.ndarray) -> Batch:
        """A batch of int64 token ids (rows, length)."""


class Plain:
    """Next-token loss on every target; every token sees the whole sequence before it."""

    def prepare(self, tokens: np.ndarray) -> Batch:
        return Batch(tokens, None, None, None, tokens.shape[0] * (tokens.shape[1] - 1))


PLAIN = Plain()
