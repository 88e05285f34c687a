"""Make what a setting needs, once: the text's tokens, the initial weights, the batches in order. ``SETTING.json``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bench.training.ours import TEXT, TOKENIZER, mixture_of
from bench.training.setting import Setting
from engine.data.tokenizer import load_tokenizer
from engine.data.tokens import token_stream
from store.workspace import Workspace


def main() -> None:
    setting = Setting.read(sys.argv[1])
    workspace = Workspace.open_or_create(setting.workspace)
    tokenizer = load_tokenizer(TOKENIZER, workspace)
    token_stream(TEXT, "train", tokenizer, workspace)
    model = _model(setting)
    model.save_pretrained(setting.model)
    mixture = mixture_of(setting, workspace)
    np.save(setting.batches, mixture.batch(0, setting.batch * setting.steps))
    Path(setting.root, "parameters").write_text(str(sum(p.numel() for p in model.parameters())))


def _model(setting: Setting):
    """Random weights under the configuration that a folder from the hub has: GPT-2's own activation, no dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    from engine.plan.cost import llama_inner

    torch.manual_seed(0)
    if setting.family == "gpt2":
        config = GPT2Config(
            n_layer=setting.n_layer,
            n_embd=setting.n_embd,
            n_head=setting.n_head,
            n_positions=setting.sequence,
            vocab_size=setting.vocabulary,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
        return GPT2LMHeadModel(config)
    config = LlamaConfig(
        num_hidden_layers=setting.n_layer,
        hidden_size=setting.n_embd,
        intermediate_size=llama_inner(setting.n_embd),
        num_attention_heads=setting.n_head,
        max_position_embeddings=setting.sequence,
        vocab_size=setting.vocabulary,
        tie_word_embeddings=False,
        rms_norm_eps=1e-5,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)


if __name__ == "__main__":
    main()
