"""The training loss as a module: wrappers that follow a module's forward (DDP, FSDP) see all of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.models.device import compute_in
from engine.models.head import summed_loss

if TYPE_CHECKING:
    from engine.models.decoder import Decoder
    from engine.models.device import Precision
    from engine.train.batch import Batch


class CausalLoss(nn.Module):
    """Next-token loss of a decoder, summed over the targets of a batch."""

    def __init__(self, decoder: Decoder, precision: Precision) -> None:
        super().__init__()
        self.model = decoder.model
        self._decoder = decoder
        self._precision = precision

    def forward(self, batch: Batch) -> Tensor:
        """Σ weight · loss (nats), a float32 scalar; the caller divides by the step's count of targets."""
        decoder, device = self._decoder, self._decoder.device
        tokens = torch.from_numpy(batch.tokens).to(device, non_blocking=True)
        weights = None if batch.weights is None else torch.from_numpy(batch.weights).to(device).flatten()
        with compute_in(device, self._precision):
            # The last token is only ever a target, so it is not fed.
            hidden = decoder.hidden(tokens[:, :-1]).flatten(0, 1)
            return summed_loss(hidden, decoder.weight, decoder.bias, tokens[:, 1:].reshape(-1), weights)
