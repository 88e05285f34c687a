"""Activation checkpointing: a layer's activations are computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from store.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def recompute_layers(model: PreTrainedModel) -> None:
    """Keep only the inputs of the model's blocks for the backward pass, in place; losses and gradients stay the same.

    ``transformers`` does this only for blocks in training mode, which also switches their dropout on; here models
    always compute as in evaluation. ``ConfigError`` when the model does not say which of its modules are blocks.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError(
            f"training.activation_checkpointing: {type(model).__name__} does not say what its layers are",
            "Leave it out; lower training.batch_sequences and raise training.accumulate to save memory.",
        )
    for layer in layers:
        layer.forward = _recomputed(layer.forward)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        # Random generators are put back for the second pass: an adapter's dropout falls on the same activations.
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=True, **kwargs)

    return run
