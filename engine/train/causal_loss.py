"""The training loss as a module: wrappers that follow a module's forward (DDP, FSDP) see all of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from engine.models.device import compute_in, send
from engine.models.head import summed_divergence, summed_loss

if TYPE_CHECKING:
    from engine.models.decoder import Decoder
    from engine.models.device import Precision
    from engine.models.reference import Reference
    from engine.train.batch import Batch


class CausalLoss(nn.Module):
    """What is asked of a decoder at the targets of a batch, summed over them.

    ``diverged`` is Σ KL(p_base ‖ p) in nats over the last batch's targets that ask for it, without their weights.
    """

    diverged: Tensor | None = None

    def __init__(self, decoder: Decoder, precision: Precision, reference: Reference | None = None) -> None:
        super().__init__()
        self.model = decoder.model
        self._decoder = decoder
        self._precision = precision
        # In a tuple: a frozen copy's weights are none of this module's.
        self._reference = (reference,)

    def forward(self, batch: Batch) -> Tensor:
        """Σ weight · loss + Σ divergence weight · KL(p_base ‖ p) in nats, a float32 scalar.

        The caller divides by the step's count of targets. A batch without any is 0, with gradients of 0.
        """
        decoder, (reference,) = self._decoder, self._reference
        tokens = self._move(batch.tokens)
        documents = None if batch.documents is None else self._move(batch.documents[:, :-1])
        with compute_in(decoder.device, self._precision):
            # The last token is only ever a target, so it is not fed.
            fed, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)
            # The base first: what it computes is gone before the model's activations are kept.
            base = None
            if reference is not None and batch.divergence is not None:
                rows = np.flatnonzero(batch.divergence)
                base = reference.hidden(fed, documents).flatten(0, 1)[self._move(rows)]
            hidden = decoder.hidden(fed, documents).flatten(0, 1)
            loss = self._next_token(hidden, targets, batch.weights)
            if base is not None:
                diverging = self._move(batch.divergence.reshape(-1)[rows])
                output = decoder.weight, decoder.bias
                kept = hidden[self._move(rows)]
                divergence, self.diverged = summed_divergence(kept, base, output, reference.output, diverging)
                loss = loss + divergence
        return loss

    def _next_token(self, hidden: Tensor, targets: Tensor, weights: np.ndarray | None) -> Tensor:
        decoder, row_weights = self._decoder, None
        if weights is not None:
            rows = np.flatnonzero(weights)
            chosen = weights.reshape(-1)[rows]
            if len(rows) < weights.size:
                # Targets that are left out cost no output layer.
                index = self._move(rows)
                hidden, targets = hidden[index], targets[index]
            if (chosen != 1).any():
                row_weights = self._move(chosen)
        return summed_loss(hidden, decoder.weight, decoder.bias, targets, row_weights)

    def _move(self, values: np.ndarray) -> Tensor:
        return send(values, self._decoder.device)

    def gather(self) -> None:
        """Nothing by itself; called of a sharded module, what forward uses of it is there afterwards."""
