"""What one part of a step is trained on: sequences, the weight of each target, and where documents begin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from engine.models.reference import Reference


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
    """Targets that are not left out, those with a weight of either kind: what the step's loss is divided by, summed
    over the step."""

    @property
    def diverging(self) -> int:
        """Targets at which the divergence from the base model is asked for."""
        return 0 if self.divergence is None else int(np.count_nonzero(self.divergence))

    def muted(self) -> Batch:
        """The same sequences without a target: what a process computes that has no rows left while others have."""
        none = np.zeros_like(self.tokens[:, 1:], np.float32)
        # As many forward passes as in the other processes: the base's, too.
        return replace(self, weights=none, divergence=None if self.divergence is None else none, targets=0)


class Objective(Protocol):
    """What is asked of the model at each target."""

    @property
    def reference(self) -> Reference | None:
        """The base model; not None where batches ask for the divergence from it."""

    def prepare(self, tokens: np.ndarray) -> Batch:
        """A batch of int64 token ids (rows, length)."""


class Plain:
    """Next-token loss on every target; every token sees the whole sequence before it."""

    reference = None

    def prepare(self, tokens: np.ndarray) -> Batch:
        return Batch(tokens, None, None, None, tokens.shape[0] * (tokens.shape[1] - 1))


PLAIN = Plain()
