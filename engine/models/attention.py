"""Which implementation of attention a model computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from store.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Attention = Literal["sdpa", "eager", "flash_attention_2"]


@contextmanager
def attending(model: PreTrainedModel, attention: Attention) -> Iterator[None]:
    """While the model computes with ``attention``; ``sdpa`` is how models are loaded, but for families that lack it.

    Evaluation is no part of it: every state's losses are computed as the model was loaded, whatever it was trained
    with. ``ConfigError`` when the package is missing (flash-attn) or the model cannot do it.
    """
    if attention == "sdpa":
        yield
        return
    loaded = model.config._attn_implementation
    try:
        model.set_attn_implementation(attention)
    except (ImportError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        hint = "pip install flash-attn, on a machine with a GPU, or set attention: sdpa."
        raise ConfigError(f"training.attention: {attention} cannot be used: {reason}", hint) from error
    if model.config._attn_implementation != attention:
        raise ConfigError(
            f"training.attention: {type(model).__name__} computes with {loaded} only", "Leave training.attention out."
        )
    try:
        yield
    finally:
        model.set_attn_implementation(loaded)
