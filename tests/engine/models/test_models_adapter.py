"""Adapters: attached in place, only they train, and merging changes no logits."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from transformers import PreTrainedModel

from engine.models.adapter import attach_method, merged_weights, set_dropout
from engine.models.build import build_model
from engine.models.count import count_parameters
from engine.spec.methods import PEFT_METHODS, takes
from engine.spec.run import Architecture, Method, MethodName
from store.errors import ConfigError

TOKENS = torch.tensor([[1, 5, 9, 2, 7, 3]])


def _model(family: str) -> PreTrainedModel:
    return build_model(Architecture(family=family, n_layer=2, n_embd=16, n_head=2, context=8), 40, seed=3)


@torch.no_grad()
def _logits(model: PreTrainedModel) -> torch.Tensor:
    return model(TOKENS).logits


def _disturb(model: PreTrainedModel) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter += 0.4 * torch.randn_like(parameter)


CASES = [
    (family, name)
    for name, entry in PEFT_METHODS.items()
    for family in ("gpt2", "llama")
    if entry.conv1d or family != "gpt2"
]


def test_every_method_of_the_specification_has_an_entry() -> None:
    assert set(get_args(MethodName)) == {"full", *PEFT_METHODS}


@pytest.mark.parametrize(("family", "name"), CASES)
def test_merged_weights_compute_what_the_adapted_model_does(family: str, name: str) -> None:
    plain, model = _model(family), _model(family)
    attach_method(model, Method(name=name, rank=4))
    torch.testing.assert_close(_logits(model), _logits(plain), atol=1e-6, rtol=1e-5)
    _disturb(model)
    adapted = _logits(model)
    assert (adapted - _logits(plain)).abs().max() > 0.01
    plain.load_state_dict(merged_weights(model), strict=False)
    torch.testing.assert_close(_logits(plain), adapted, atol=1e-5, rtol=1e-4)
    assert set(merged_weights(model)) == set(plain.state_dict())
    torch.testing.assert_close(_logits(model), adapted, atol=0, rtol=0)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_a_step_changes_the_adapter_only_and_counts_leave_it_out(family: str, name: str) -> None:
    plain, model = _model(family), _model(family)
    attach_method(model, Method(name=name, rank=4))
    counts, before = count_parameters(model), count_parameters(plain)
    assert (counts.total, counts.non_embedding) == (before.total, before.non_embedding)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert counts.trained == sum(p.numel() for p in trained.values()) > 0
    weights = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(trained.values(), lr=0.1)
    for _ in range(2):
        # What is zero at first hides the gradient of what it multiplies.
        model(TOKENS, labels=TOKENS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, weights[n])}
    assert changed == set(trained)


@pytest.mark.parametrize("name", ["loha", "lokr"])
def test_methods_that_do_not_know_gpt2s_layers_say_so(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot adapt this model") as refusal:
        attach_method(_model("gpt2"), Method(name=name))
    assert "lora" in refusal.value.hint


def test_ia3_scales_what_enters_the_last_layer_of_the_mlp() -> None:
    model = _model("llama")
    attach_method(model, Method(name="ia3"))
    layer = model.model.layers[0]
    assert layer.mlp.down_proj.ia3_l["default"].shape == (1, layer.mlp.down_proj.in_features)
    assert layer.mlp.up_proj.ia3_l["default"].shape == (layer.mlp.up_proj.out_features, 1)


def test_veras_projections_follow_the_generator() -> None:
    def projection(seed: int) -> torch.Tensor:
        model = _model("llama")
        torch.manual_seed(seed)
        attach_method(model, Method(name="vera"))
        return model.model.layers[0].mlp.down_proj.vera_A["default"]

    assert torch.equal(projection(1), projection(1))
    assert not torch.equal(projection(1), projection(2))


@pytest.mark.parametrize(("family", "target"), [("gpt2", "lm_head"), ("llama", "embed_tokens")])
def test_a_matrix_that_is_embedding_and_output_is_not_adapted(family: str, target: str) -> None:
    with pytest.raises(ConfigError, match="are one matrix"):
        attach_method(_model(family), Method(name="lora", target_modules=target))


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


@pytest.mark.parametrize("name", [name for name in PEFT_METHODS if takes(name, "dropout")])
def test_dropout_is_switched_on_for_training_only(name: str) -> None:
    model = _model("llama")
    attach_method(model, Method(name=name, rank=2, dropout=0.5))
    assert torch.equal(_logits(model), _logits(model))
    _disturb(model)
    set_dropout(model, True)
    assert not torch.equal(_logits(model), _logits(model))
    set_dropout(model, False)
    assert torch.equal(_logits(model), _logits(model))
