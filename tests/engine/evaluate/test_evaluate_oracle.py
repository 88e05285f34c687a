"""Per-token losses of a trained Llama against an independent float64 computation.

The reference data are not part of the project. ODYSSEY_REFERENCE_DATA names a folder with ``oracle/``: the llama2.c
weights ``stories260K.repaired.bin`` and ``stories260K_nll_oracle.json``, losses under three windowings.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from engine.evaluate.losses import per_token_losses
from engine.spec.run import Scheme

HEADER_INTS = 7


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("ODYSSEY_REFERENCE_DATA")
    if not root:
        pytest.skip("ODYSSEY_REFERENCE_DATA is not set: no reference losses to compare with")
    return Path(root) / "oracle"


@pytest.fixture(scope="module")
def oracle(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "stories260K_nll_oracle.json").read_text())


@pytest.fixture(scope="module")
def model(folder: Path) -> LlamaForCausalLM:
    return _convert(folder / "stories260K.repaired.bin")


def _convert(path: Path) -> LlamaForCausalLM:
    """llama2.c's file (version 0: seven ints, then float32 tensors) as a transformers model."""
    dim, hidden, layers, heads, kv_heads, vocabulary, context = np.fromfile(path, np.int32, HEADER_INTS).tolist()
    values = torch.from_numpy(np.fromfile(path, np.float32, offset=HEADER_INTS * 4))
    assert vocabulary > 0, "a negative size would mean an output matrix of its own"
    kv_dim = dim // heads * kv_heads
    position = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal position
        size = int(np.prod(shape))
        position += size
        return values[position - size : position].view(*shape)

    def halves(weight: torch.Tensor, count: int) -> torch.Tensor:
        """Rows of each head from interleaved pairs to two halves, as transformers rotates them."""
        return weight.view(layers, count, -1, 2, dim).transpose(2, 3).reshape(layers, -1, dim)

    embedding = take(vocabulary, dim)
    tensors = {
        "input_layernorm": take(layers, dim),
        "self_attn.q_proj": halves(take(layers, dim, dim), heads),
        "self_attn.k_proj": halves(take(layers, kv_dim, dim), kv_heads),
        "self_attn.v_proj": take(layers, kv_dim, dim),
        "self_attn.o_proj": take(layers, dim, dim),
        "post_attention_layernorm": take(layers, dim),
        "mlp.gate_proj": take(layers, hidden, dim),
        "mlp.down_proj": take(layers, dim, hidden),
        "mlp.up_proj": take(layers, hidden, dim),
    }
    weights = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding, "model.norm.weight": take(dim)}
    for name, stacked in tensors.items():
        weights |= {f"model.layers.{layer}.{name}.weight": stacked[layer] for layer in range(layers)}
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(weights)
    return model


def _losses(model: LlamaForCausalLM, oracle: dict[str, Any], scheme: Scheme, *, lead: int = 0) -> np.ndarray:
    return per_token_losses(model, np.array(oracle["stream_ids"][lead:]), scheme, bos_id=1)


def test_rolling(model: LlamaForCausalLM, oracle: dict[str, Any]) -> None:
    losses = _losses(model, oracle, Scheme(kind="rolling", window=512))
    # The reference starts its last, short window one token early; the harness, and we, reach back to a full window.
    last = 2 * 512
    tail = _losses(model, oracle, Scheme(kind="blocks", window=512), lead=last - 1)[1:]
    np.testing.assert_allclose(np.append(losses[:last], tail), oracle["rolling_nll"], rtol=1e-4, atol=2e-5)
    total = losses[:last].sum(dtype=np.float64) + tail.sum(dtype=np.float64)
    assert total / len(losses) == pytest.approx(1.47438535, abs=1e-5)
    # More context helps: 331 tokens before the last 182 instead of one.
    assert losses[last:].mean() < tail.mean()


def test_strided_as_in_transformers_guide(model: LlamaForCausalLM, oracle: dict[str, Any]) -> None:
    losses = _losses(model, oracle, Scheme(kind="strided", window=512, stride=256))
    assert np.isfinite(losses).sum() == 1205
    assert np.nanmean(losses.astype(np.float64)) == pytest.approx(1.45498090, abs=1e-5)


def test_blocks_give_m2d2s_mean_by_its_formula(model: LlamaForCausalLM, oracle: dict[str, Any]) -> None:
    losses = _losses(model, oracle, Scheme(kind="blocks", window=512)).astype(np.float64)
    blocks = [losses[start : start + 512] for start in range(0, len(losses), 512)]
    # Their script weights a block's mean over its length − 1 predictions by its length.
    weighted = sum(np.nanmean(block) * len(block) for block in blocks) / len(losses)
    assert weighted == pytest.approx(1.46676653, abs=1e-5)
