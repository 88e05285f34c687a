"""Several documents in one sequence, kept apart: positions that begin anew, from which attention masks follow.

``transformers`` reads packed documents off such positions and lets a token see its own document only: by a mask under
eager and SDPA attention, by sequence lengths under flash attention, there for one row at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.models.device import compute_in
from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.models.decoder import Decoder
    from engine.models.device import Precision

PROBE_TOKENS = 6
LEAK_TOLERANCE = 0.1
"""Documents count as apart when less than this share of the first one's influence is left."""


def document_positions(documents: Tensor) -> Tensor:
    """Positions, int64 (rows, length), that begin at 0 with every row and wherever ``documents`` changes."""
    index = torch.arange(documents.shape[1], device=documents.device).expand(documents.shape)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - torch.where(begins, index, 0).cummax(1).values


def pack(decoder: Decoder, tokens: Tensor, documents: Tensor) -> dict[str, Tensor]:
    """The model's inputs for tokens (rows, length) whose ``documents`` are to be kept apart, as one row if need be."""
    positions = document_positions(documents)
    if is_flattened(decoder):
        tokens, positions = tokens.reshape(1, -1), positions.reshape(1, -1)
    return {"input_ids": tokens, "position_ids": positions}


def is_flattened(decoder: Decoder) -> bool:
    """Whether packed rows are fed one after another: flash attention ignores the positions of several."""
    return "flash" in str(decoder.model.config._attn_implementation)


@torch.no_grad()
def check_documents_apart(decoder: Decoder, precision: Precision) -> None:
    """``ConfigError`` when a token of the second of two packed documents sees the first, or counts its positions.

    Families without positions that are given from outside (ALiBi, recurrent ones) ignore them silently.
    """
    length = min(PROBE_TOKENS, decoder.context or PROBE_TOKENS)
    tokens = (torch.arange(length, device=decoder.device) % decoder.vocab_size).unsqueeze(0)
    documents = (torch.arange(length, device=decoder.device) >= length // 2).int().unsqueeze(0)
    with compute_in(decoder.device, precision):
        apart = decoder.hidden(tokens, documents)[:, length // 2 :].float()
        together = decoder.hidden(tokens)[:, length // 2 :].float()
        alone = decoder.hidden(tokens[:, length // 2 :]).float()
    if (apart - alone).abs().max() > LEAK_TOLERANCE * (together - alone).abs().max():
        raise ConfigError(
            f"training.cross_document: false, but a {decoder.model.config.model_type} model cannot keep packed "
            "documents apart",
            "Use cross_document: true, or another model.",
        )
