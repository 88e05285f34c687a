"""Decoders built from a configuration, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from engine.models.products import speed_up_linear
from engine.plan.cost import llama_inner
from store.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from engine.spec.run import Architecture


def build_model(
    architecture: Architecture,
    vocab_size: int,
    seed: int,
    *,
    bos_token_id: int | None = None,
    eos_token_id: int | None = None,
) -> PreTrainedModel:
    """A float32 causal LM with tied embeddings and no dropout; equal arguments give equal weights.

    ``ConfigError`` when the width cannot be split over the heads.
    """
    if architecture.n_embd % architecture.n_head:
        raise ConfigError(
            f"architecture: n_embd {architecture.n_embd} is not a multiple of n_head {architecture.n_head}",
            "Every head gets n_embd / n_head of the width.",
        )
    make = {"gpt2": _gpt2, "llama": _llama}[architecture.family](architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(vocab_size=vocab_size, bos_token_id=bos_token_id, eos_token_id=eos_token_id)
    speed_up_linear(model)
    return model.eval()


def _gpt2(architecture: Architecture) -> Callable[..., PreTrainedModel]:
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    def make(**ids: int | None) -> PreTrainedModel:
        config = GPT2Config(
            n_layer=architecture.n_layer,
            n_embd=architecture.n_embd,
            n_head=architecture.n_head,
            n_positions=architecture.context,
            # The same function as GPT-2's own `gelu_new`, as one kernel instead of eight.
            activation_function="gelu_pytorch_tanh",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=True,
            **ids,
        )
        return GPT2LMHeadModel(config)

    return make


def _llama(architecture: Architecture) -> Callable[..., PreTrainedModel]:
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    def make(**ids: int | None) -> PreTrainedModel:
        config = LlamaConfig(
            num_hidden_layers=architecture.n_layer,
            hidden_size=architecture.n_embd,
            intermediate_size=llama_inner(architecture.n_embd),
            num_attention_heads=architecture.n_head,
            max_position_embeddings=architecture.context,
            tie_word_embeddings=True,
            **ids,
        )
        return LlamaForCausalLM(config)

    return make
