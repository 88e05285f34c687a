"""A causal LM cut in two: the body that yields hidden states, and the output layer that the loss applies in chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.models.packing import pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE_TOKENS = 8
PROBE_TOLERANCE = 1e-3
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
"""What configurations call the number of positions; those of models with relative positions (Bloom) name none."""


@dataclass(frozen=True)
class Decoder:
    """A ``transformers`` causal LM and whether its logits are just its output layer applied to its hidden states.

    Some families scale or cap their logits; for those ``hidden`` returns the logits themselves and ``weight`` is None,
    which ``engine.models.head`` understands.
    """

    model: PreTrainedModel
    plain: bool

    @classmethod
    def of(cls, model: PreTrainedModel) -> Decoder:
        """Wrap a model after comparing its logits with its output layer's on a few tokens."""
        return cls(model, plain=_is_plain(model))

    def hidden(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        """Last hidden states (batch, length, width) of token ids (batch, length); logits for a model not ``plain``.

        With ``documents`` (batch, length), the number of each token's document within its row, a token sees its own
        document only, and positions begin anew with each.
        """
        inputs = {"input_ids": tokens} if documents is None else pack(self, tokens, documents)
        if self.plain:
            hidden = self.model.base_model(**inputs, use_cache=False).last_hidden_state
        else:
            hidden = self.model(**inputs, use_cache=False).logits
        return hidden.reshape(*tokens.shape, -1)

    @property
    def weight(self) -> Tensor | None:
        """The output matrix (vocabulary, width)."""
        return self.model.get_output_embeddings().weight if self.plain else None

    @property
    def bias(self) -> Tensor | None:
        return getattr(self.model.get_output_embeddings(), "bias", None) if self.plain else None

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def vocab_size(self) -> int:
        return self.model.get_input_embeddings().weight.shape[0]

    @property
    def context(self) -> int | None:
        """Positions the model knows; None when its configuration does not say."""
        config = self.model.config.get_text_config()
        return next((getattr(config, name) for name in CONTEXT_NAMES if getattr(config, name, None)), None)


@torch.no_grad()
def _is_plain(model: PreTrainedModel) -> bool:
    output = model.get_output_embeddings()
    if not isinstance(output, torch.nn.Linear) or model.base_model is model:
        return False
    device = next(model.parameters()).device
    tokens = torch.arange(min(PROBE_TOKENS, output.weight.shape[0]), device=device).unsqueeze(0)
    result = model(input_ids=tokens, use_cache=False)
    body = model.base_model(input_ids=tokens, use_cache=False)
    if not hasattr(body, "last_hidden_state"):
        return False
    expected, logits = result.logits.float(), output(body.last_hidden_state).float()
    return expected.shape == logits.shape and torch.allclose(
        logits, expected, atol=PROBE_TOLERANCE, rtol=PROBE_TOLERANCE
    )
