"""Linear layers by the faster library: the same values and gradients as torch's own, whatever the strides."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from engine.models import products
from engine.models.build import build_model
from engine.spec.run import Architecture

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"),
    reason="this torch has no oneDNN",
)


@pytest.fixture(params=["as here", "onednn"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What this processor gets, and oneDNN even where it would not be chosen or not pay."""
    if request.param == "onednn":
        if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            pytest.skip("this torch has no oneDNN")
        monkeypatch.setattr(products, "_onednn_is_faster", lambda: True)
        monkeypatch.setattr(products, "MINIMUM_PRODUCT", 0)
        monkeypatch.setattr(products, "MINIMUM_OUTER", 0)
    return request.param


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)))


def test_products_equal_float64(library: str) -> None:
    rows, matrix, bias = drawn(3, 5, 7), drawn(11, 7), drawn(11)
    expected = functional.linear(rows.double(), matrix.double(), bias.double())
    torch.testing.assert_close(products.product(rows, matrix, bias).double(), expected, atol=1e-5, rtol=1e-5)
    transposed = matrix.t().contiguous().t()
    torch.testing.assert_close(products.product(rows, transposed, bias).double(), expected, atol=1e-5, rtol=1e-5)
    for wide, narrow in ((9, 4), (4, 9)):
        left, right = drawn(6, wide), drawn(6, narrow)
        outer = left.double().t() @ right.double()
        torch.testing.assert_close(products.outer_product(left, right).double(), outer, atol=1e-5, rtol=1e-5)
        for dtype in (torch.float32, torch.bfloat16):
            total = products.zeros_for_outer(torch.empty(wide, narrow, dtype=dtype), dtype)
            products.add_outer_product(total, left.to(dtype), right.to(dtype))
            products.add_outer_product(total, left.to(dtype), right.to(dtype))
            tolerance = 1e-5 if dtype == torch.float32 else 0.1
            assert total.dtype == torch.float32
            torch.testing.assert_close(total.double(), 2 * outer, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
def test_a_layer_keeps_its_values_and_gradients(library: str, kind: type[nn.Module], frozen: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(12, 20) if kind is nn.Linear else Conv1D(20, 12)
    plain.requires_grad_(not frozen)
    faster = copy.deepcopy(plain)
    products.speed_up_linear(nn.ModuleList([faster]))
    assert isinstance(faster, kind)
    results = []
    for layer in (plain, faster):
        rows = drawn(2, 30, 12).requires_grad_()
        value = layer(rows)
        value.backward(drawn(2, 30, 20))
        results.append((value, rows.grad, *(parameter.grad for parameter in layer.parameters())))
    for expected, found in zip(*results, strict=True):
        assert (expected is None) == (found is None) == (frozen and expected is None)
        if expected is not None:
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_autocast_stays_torchs_own(library: str) -> None:
    layer = Conv1D(20, 12)
    faster = copy.deepcopy(layer)
    products.speed_up_linear(nn.ModuleList([faster]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = drawn(30, 12)
        assert faster(rows).dtype == torch.bfloat16
        assert torch.equal(faster(rows), layer(rows))


@needs_onednn
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_model_trains_alike_by_either_library(monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    tokens = torch.arange(48).reshape(2, 24) % 37
    losses, weights = [], []
    for faster in (False, True):
        monkeypatch.setattr(products, "_onednn_is_faster", lambda chosen=faster: chosen)
        monkeypatch.setattr(products, "MINIMUM_PRODUCT", 0)
        monkeypatch.setattr(products, "MINIMUM_OUTER", 0)
        shape = Architecture(family=family, n_layer=2, n_embd=16, n_head=2, context=24)
        model = build_model(shape, 37, seed=3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            loss = model(input_ids=tokens, labels=tokens).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        weights.append({name: parameter.detach().clone() for name, parameter in model.named_parameters()})
    assert losses[:3] == pytest.approx(losses[3:], rel=1e-5)
    for name, parameter in weights[0].items():
        torch.testing.assert_close(weights[1][name], parameter, atol=1e-5, rtol=1e-4)
