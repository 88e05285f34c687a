"""Tiny randomly initialised causal LMs of the families that matter, as their hub repositories would hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VOCABULARY = 96
CONTEXT = 64
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}


def _make(name: str, **changes: object) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        import torch
        import transformers

        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(**{**_SHAPE, **_IDS, **changes})
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            # Initialisations leave norms at one, biases at zero and logits near zero, where mistakes hide.
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return make


FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt2": _make("GPT2", n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT),
    "gpt_neox": _make("GPTNeoX", tie_word_embeddings=False),
    "olmo": _make("Olmo", clip_qkv=8.0),
    "olmo2": _make("Olmo2"),
    "llama_gqa": _make("Llama", num_key_value_heads=2),
    "llama_tied": _make("Llama", tie_word_embeddings=True),
    "qwen2": _make("Qwen2", num_key_value_heads=2, tie_word_embeddings=True),
    "qwen3": _make("Qwen3", num_key_value_heads=2, head_dim=16),
    "mistral": _make("Mistral", num_key_value_heads=2, sliding_window=8),
    "gemma2": _make("Gemma2", num_key_value_heads=2, head_dim=8, sliding_window=8, final_logit_softcapping=5.0),
    "gemma3": _make("Gemma3Text", num_key_value_heads=2, head_dim=8, sliding_window=8),
    "phi": _make("Phi"),
    "opt": _make("OPT", ffn_dim=48, word_embed_proj_dim=32),
    "bloom": _make("Bloom", n_layer=2, n_head=4, max_position_embeddings=None),
    "mpt": _make("Mpt", d_model=32, n_layers=2, n_heads=4, max_seq_len=CONTEXT, max_position_embeddings=None),
    "granite": _make("Granite", logits_scaling=3.0, embedding_multiplier=4.0, residual_multiplier=0.5),
}
