"""Adapters: attached in place, only they train, and merging changes no logits."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from engine.models.adapter import attach_method, merged_weights, set_dropout
from engine.models.build import build_model
from engine.models.count import count_parameters
from engine.spec.run import Architecture, Method
from store.errors import ConfigError

TOKENS = torch.tensor([[1, 5, 9, 2, 7, 3]])


def _model(family: str) -> PreTrainedModel:
    return build_model(Architecture(family=family, n_layer=2, n_embd=16, n_head=2, context=8), 40, seed=3)


@torch.no_grad()
def _logits(model: PreTrainedModel) -> torch.Tensor:
    return model(TOKENS).logits


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("name", ["lora", "rslora", "dora"])
def test_merged_weights_compute_what_the_adapted_model_does(family: str, name: str) -> None:
    plain, model = _model(family), _model(family)
    attach_method(model, Method(name=name, rank=4))
    torch.testing.assert_close(_logits(model), _logits(plain), atol=1e-5, rtol=1e-4)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter += 0.2 * torch.randn_like(parameter)
    adapted = _logits(model)
    assert (adapted - _logits(plain)).abs().max() > 0.05
    plain.load_state_dict(merged_weights(model), strict=False)
    torch.testing.assert_close(_logits(plain), adapted, atol=1e-5, rtol=1e-4)
    assert set(merged_weights(model)) == set(plain.state_dict())
    torch.testing.assert_close(_logits(model), adapted, atol=0, rtol=0)


def test_only_the_adapter_trains_and_the_model_keeps_its_count() -> None:
    plain, model = _model("gpt2"), _model("gpt2")
    attach_method(model, Method(name="lora", rank=4))
    counts = count_parameters(model)
    assert counts.total == count_parameters(plain).total
    assert counts.non_embedding == count_parameters(plain).non_embedding
    # Rank 4 on the four matrices of each of two layers: (in + out) · rank.
    assert counts.trained == 2 * 4 * ((16 + 48) + (16 + 16) + (16 + 64) + (64 + 16))
    assert {name.split(".")[-3] for name, p in model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}


def test_alpha_defaults_to_twice_the_rank() -> None:
    model = _model("gpt2")
    attach_method(model, Method(name="lora", rank=4))
    assert model.transformer.h[0].mlp.c_fc.scaling["default"] == 2.0


def test_full_fine_tuning_trains_everything() -> None:
    model = _model("llama").requires_grad_(False)
    attach_method(model, Method())
    counts = count_parameters(model)
    assert counts.trained == counts.total


def test_named_modules_and_a_name_that_fits_none() -> None:
    model = _model("gpt2")
    attach_method(model, Method(name="lora", rank=2, target_modules="c_attn, c_fc"))
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert adapted == {"c_attn", "c_fc"}
    with pytest.raises(ConfigError, match="'q_proj' fits no layer") as failure:
        attach_method(_model("gpt2"), Method(name="lora", target_modules="q_proj"))
    assert "c_attn, c_fc" in failure.value.hint


def test_dropout_is_switched_on_for_training_only() -> None:
    model = _model("gpt2")
    attach_method(model, Method(name="lora", rank=2, dropout=0.5))
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    set_dropout(model, True)
    assert not torch.equal(_logits(model), _logits(model))
    set_dropout(model, False)
    assert torch.equal(_logits(model), _logits(model))
