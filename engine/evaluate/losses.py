"""Per-token losses of a causal LM over a token stream, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.evaluate.batches import Batch, plan_batches
from engine.evaluate.windows import Window, plan_windows
from engine.models.decoder import Decoder
from engine.models.device import compute_in, explain_out_of_memory
from engine.models.head import row_losses
from engine.train.group import ALONE, Group
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from engine.spec.run import Scheme


def per_token_losses(
    model: PreTrainedModel | Decoder,
    tokens: NDArray[np.integer],
    scheme: Scheme,
    *,
    bos_id: int | None = None,
    batch_tokens: int = 8192,
    pulse: Callable[[int], None] | None = None,
    group: Group = ALONE,
) -> NDArray[np.float32]:
    """Negative log-likelihood (nats) of every token: (n,) float32 aligned with ``tokens`` (n,), NaN where none is.

    ``bos_id`` stands before the text where the scheme wants it (a tokenizer's BOS, or its EOS if it has no BOS).
    Batches hold about ``batch_tokens`` positions; ``pulse`` is called after each with the tokens it predicted. The
    processes of ``group`` take turns with the batches, and all return all losses.
    Windows of unequal length are never padded together. ``ConfigError`` when the window exceeds the model's context or
    BOS is needed and there is none; ``DataError`` when a token is outside the model's vocabulary or a loss not finite.
    """
    decoder = model if isinstance(model, Decoder) else Decoder.of(model)
    windows = plan_windows(len(tokens), scheme)
    check_feasible(decoder, tokens, windows, scheme, bos_id)
    found = np.zeros(len(tokens), dtype=np.float32)
    batches = list(plan_batches(windows, batch_tokens))
    hint = "Lower evaluation.batch_tokens, or use precision: bf16."
    # Not inference mode: a sharded model would keep buffers that it cannot train with.
    with torch.no_grad(), compute_in(decoder.device, scheme.precision), explain_out_of_memory(hint):
        for first in range(0, len(batches), group.world):
            together = batches[first : first + group.world]
            own = group.rank < len(together)
            # Where there are too few for all, the others compute one too: a sharded model needs everybody.
            batch = together[group.rank if own else 0]
            _score(decoder, tokens, batch, bos_id, found if own else np.empty_like(found))
            if pulse is not None:
                pulse(sum(each.n_predicted for each in together))
    found = group.total(torch.from_numpy(found)).numpy()
    predicted = np.zeros(len(tokens), dtype=bool)
    for window in windows:
        predicted[window.first : window.last] = True
    return np.where(predicted, found, np.float32(np.nan))


def _score(
    decoder: Decoder, tokens: NDArray[np.integer], batch: Batch, bos_id: int | None, losses: NDArray[np.float32]
) -> None:
    device = decoder.device
    hidden = decoder.hidden(torch.from_numpy(batch.inputs(tokens, bos_id)).to(device)).flatten(0, 1)
    picked = hidden[torch.from_numpy(batch.rows).to(device)]
    predicted = batch.predicted
    targets = torch.from_numpy(tokens[predicted].astype(np.int64)).to(device)
    found = row_losses(picked, decoder.weight, decoder.bias, targets).cpu().numpy()
    require_finite(found, predicted)
    losses[predicted] = found


def require_finite(losses: NDArray[np.float32], predicted: NDArray[np.int64]) -> None:
    """``DataError`` when a loss of the tokens at the places ``predicted`` is not finite."""
    wrong = ~np.isfinite(losses)
    if wrong.any():
        raise DataError(
            f"the model's loss of token {int(predicted[wrong][0])} is {losses[wrong][0]}",
            "Its weights are not finite: training diverged, or the files are damaged.",
        )


def check_window(decoder: Decoder, scheme: Scheme) -> None:
    """``ConfigError`` when the window is longer than the model's context."""
    if decoder.context is not None and scheme.window > decoder.context:
        raise ConfigError(
            f"scheme: a window of {scheme.window} tokens exceeds the model's context of {decoder.context}",
            f"Set window to {decoder.context} or less.",
        )


def check_feasible(
    decoder: Decoder, tokens: NDArray[np.integer], windows: list[Window], scheme: Scheme, bos_id: int | None
) -> None:
    """``ConfigError`` and ``DataError`` as of ``per_token_losses``, but for losses that are not finite."""
    check_window(decoder, scheme)
    if bos_id is None and any(window.bos for window in windows):
        raise ConfigError(
            f"scheme: {scheme.kind} needs a BOS token, and the tokenizer has neither BOS nor EOS",
            "Use kind: blocks or strided with bos: false.",
        )
    if len(tokens) and int(tokens.max()) >= decoder.vocab_size:
        raise DataError(
            f"the text holds token {int(tokens.max())}, the model knows {decoder.vocab_size} tokens",
            "Use the tokenizer that belongs to the model.",
        )
