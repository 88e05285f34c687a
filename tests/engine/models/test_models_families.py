"""Every family: loaded from a folder as from the hub, its losses, gradients and one step are plain transformers'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from engine.evaluate.losses import per_token_losses
from engine.models.adapter import attach_method, merged_weights
from engine.models.count import count_parameters
from engine.models.decoder import Decoder
from engine.models.load import load_model
from engine.spec.methods import PEFT_METHODS
from engine.spec.run import Method, Model, Scheme
from engine.train.batch import PLAIN
from engine.train.causal_loss import CausalLoss
from store.errors import ConfigError
from store.workspace import Workspace
from tests.support.families import CONTEXT, FAMILIES, VOCABULARY

NOT_PLAIN = {"gemma2", "granite"}
"""Families that change their logits after the output layer."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    for name, make in FAMILIES.items():
        make().save_pretrained(root / name)
    return {name: root / name for name in FAMILIES}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.create(tmp_path_factory.mktemp("families") / "workspace")


def _tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


def _plain_losses(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    logits = model(tokens).logits[:, :-1].flatten(0, 1).float()
    return functional.cross_entropy(logits, tokens[:, 1:].flatten(), reduction="none")


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_gradients_and_a_step_equal_plain_transformers(
    family: str, folders: dict[str, Path], workspace: Workspace
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(folders[family]).eval()
    model = load_model(Model(source=str(folders[family])), workspace)
    decoder = Decoder.of(model)
    assert decoder.plain is (family not in NOT_PLAIN)
    assert decoder.context == (None if family == "bloom" else CONTEXT)
    assert decoder.vocab_size == VOCABULARY
    assert count_parameters(model).total == sum(p.numel() for p in plain.parameters())

    tokens = _tokens(3, 24)
    expected = _plain_losses(plain, tokens)
    found = per_token_losses(decoder, tokens.flatten().numpy(), Scheme(window=24))
    np.testing.assert_allclose(found[~np.isnan(found)], expected.detach().numpy(), rtol=1e-4, atol=1e-5)

    expected.sum().backward()
    loss = CausalLoss(decoder, "fp32")(PLAIN.prepare(tokens.numpy()))
    torch.testing.assert_close(loss, expected.sum(), rtol=1e-5, atol=1e-4)
    loss.backward()
    theirs, ours = dict(plain.named_parameters()), dict(model.named_parameters())
    assert theirs.keys() == ours.keys()
    for name, parameter in theirs.items():
        torch.testing.assert_close(ours[name].grad, parameter.grad, rtol=1e-3, atol=1e-3, msg=lambda m, n=name: n + m)

    for one in (plain, model):
        torch.optim.SGD(one.parameters(), lr=1e-3).step()
    torch.testing.assert_close(_plain_losses(model, tokens), _plain_losses(plain, tokens), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["lora", "dora", "ia3", "lokr"])
def test_every_method_on_every_family_starts_at_the_base_and_merges(
    family: str, name: str, folders: dict[str, Path]
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(folders[family]).eval()
    model = AutoModelForCausalLM.from_pretrained(folders[family]).eval()
    if family == "gpt2" and not PEFT_METHODS[name].conv1d:
        with pytest.raises(ConfigError, match="Conv1D"):
            attach_method(model, Method(name=name))
        return
    attach_method(model, Method(name=name, rank=4))
    tokens = _tokens(2, 12)
    with torch.no_grad():
        torch.testing.assert_close(_plain_losses(model, tokens), _plain_losses(plain, tokens), rtol=1e-5, atol=1e-5)
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter += 0.1 * torch.randn_like(parameter)
        adapted = _plain_losses(model, tokens)
        assert not torch.allclose(adapted, _plain_losses(plain, tokens), atol=1e-3)
        plain.load_state_dict(merged_weights(model))
        torch.testing.assert_close(_plain_losses(plain, tokens), adapted, rtol=1e-4, atol=1e-4)


def test_weights_kept_in_bfloat16_train_in_float32(
    folders: dict[str, Path], workspace: Workspace, tmp_path: Path
) -> None:
    stored = AutoModelForCausalLM.from_pretrained(folders["qwen3"], dtype=torch.bfloat16)
    stored.save_pretrained(tmp_path / "bf16")
    model = load_model(Model(source=str(tmp_path / "bf16")), workspace)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    for name, parameter in stored.named_parameters():
        assert torch.equal(dict(model.named_parameters())[name], parameter.float())
    loss = CausalLoss(Decoder.of(model), "bf16")(PLAIN.prepare(_tokens(2, 12).numpy()))
    loss.backward()
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    torch.testing.assert_close(loss, _plain_losses(model, _tokens(2, 12)).sum(), rtol=2e-2, atol=0.0)
