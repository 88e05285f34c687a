"""The chunked output layer equals the plain one, in value and in every gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from engine.models import head

ROWS, WIDTH, VOCABULARY = 150, 12, 37


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks, the last one shorter."""
    monkeypatch.setattr(head, "CPU_CHUNK_ELEMENTS", VOCABULARY * 10)
    monkeypatch.setattr(head, "MINIMUM_CHUNK_ROWS", 4)


def _inputs(scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    hidden = (torch.randn(ROWS, WIDTH) * scale).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH).requires_grad_()
    bias = torch.randn(VOCABULARY).requires_grad_()
    return hidden, weight, bias, torch.randint(0, VOCABULARY, (ROWS,))


@pytest.mark.parametrize("with_bias", [False, True])
def test_summed_loss_and_gradients_equal_plain(with_bias: bool) -> None:
    hidden, weight, bias, targets = _inputs()
    chosen = [hidden, weight, bias] if with_bias else [hidden, weight]
    plain = functional.cross_entropy(functional.linear(*chosen), targets)
    expected = torch.autograd.grad(3 * plain, chosen)
    chunked = head.summed_loss(hidden, weight, bias if with_bias else None, targets) / ROWS
    found = torch.autograd.grad(3 * chunked, chosen)
    torch.testing.assert_close(chunked, plain, atol=1e-6, rtol=1e-6)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-5)


def test_summed_loss_leaves_a_frozen_matrix_alone() -> None:
    hidden, weight, _, targets = _inputs()
    weight.requires_grad_(False)
    head.summed_loss(hidden, weight, None, targets).backward()
    assert weight.grad is None
    assert hidden.grad is not None


def test_without_gradients_none_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, bias, targets = _inputs()
    ones = torch.ones(ROWS)
    expected = head.summed_loss(hidden, weight, bias, targets).detach()
    held, _ = head.summed_divergence(hidden, hidden.detach() / 2, (weight, bias), (weight, bias), ones)
    monkeypatch.setattr(head, "add_outer_product", None)
    with torch.no_grad():
        assert head.summed_loss(hidden, weight, bias, targets) == expected
        found, _ = head.summed_divergence(hidden, hidden / 2, (weight, bias), (weight, bias), ones)
    assert found == held.detach() > 0


def test_a_tied_matrix_collects_both_gradients() -> None:
    _, weight, _, targets = _inputs()
    tokens = torch.arange(ROWS) % VOCABULARY
    plain = functional.cross_entropy(functional.linear(weight[tokens], weight), targets)
    (expected,) = torch.autograd.grad(plain, weight)
    (found,) = torch.autograd.grad(head.summed_loss(weight[tokens], weight, None, targets) / ROWS, weight)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)


def test_losses_beyond_the_range_of_float_probabilities_stay_finite() -> None:
    hidden, weight, _, targets = _inputs(scale=300.0)
    plain = functional.cross_entropy(functional.linear(hidden, weight), targets)
    assert plain > 500
    torch.testing.assert_close(head.summed_loss(hidden, weight, None, targets) / ROWS, plain)
    rows = head.row_losses(hidden, weight, None, targets)
    torch.testing.assert_close(rows.mean(), plain.detach())


def test_row_losses_equal_plain() -> None:
    hidden, weight, bias, targets = _inputs()
    logits = functional.linear(hidden, weight, bias).detach()
    expected = functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(head.row_losses(hidden, weight, bias, targets), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(head.row_losses(logits, None, None, targets), expected, atol=1e-6, rtol=1e-6)


def test_bfloat16_products_accumulate_in_float32() -> None:
    hidden, weight, _, targets = _inputs()
    plain = functional.cross_entropy(functional.linear(hidden, weight), targets)
    expected = torch.autograd.grad(plain, [hidden, weight])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head.summed_loss(hidden, weight, None, targets) / ROWS
    found = torch.autograd.grad(loss, [hidden, weight])
    assert loss.dtype == torch.float32
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(loss, plain, atol=2e-2, rtol=2e-2)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.cosine_similarity(ours.flatten().float(), theirs.flatten(), dim=0) > 0.999


def _divergence_inputs(dtype: torch.dtype) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Hidden, weight and bias of the model and of its base, and the rows' weights."""
    torch.manual_seed(1)
    shapes = ((ROWS, WIDTH), (VOCABULARY, WIDTH), (VOCABULARY,))
    mine = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    base = [part + 0.3 * torch.randn_like(part) for part in mine]
    weights = torch.rand(ROWS, dtype=torch.float64)
    return [part.to(dtype).requires_grad_() for part in mine], [part.to(dtype) for part in base], weights.to(dtype)


def _plain_divergence(mine: list[torch.Tensor], base: list[torch.Tensor]) -> torch.Tensor:
    """Σ_v p_base (log p_base − log p) of every row, as written."""
    theirs = functional.linear(*base).softmax(-1)
    return (theirs * (theirs.log() - functional.linear(*mine).log_softmax(-1))).sum(-1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_divergence_and_gradients_equal_plain_float64(dtype: torch.dtype, tolerance: float, with_bias: bool) -> None:
    mine, base, weights = _divergence_inputs(torch.float64)
    rows = _plain_divergence(mine[: 2 + with_bias], base[: 2 + with_bias])
    expected = torch.autograd.grad(3 * (rows * weights).sum(), mine[: 2 + with_bias])
    ours, theirs, row_weights = _divergence_inputs(dtype)
    outputs = [(part[1], part[2] if with_bias else None) for part in (ours, theirs)]
    weighted, plain = head.summed_divergence(ours[0], theirs[0], *outputs, row_weights)
    found = torch.autograd.grad(3 * weighted, ours[: 2 + with_bias])
    assert not plain.requires_grad
    torch.testing.assert_close(weighted.double(), (rows * weights).sum(), atol=0, rtol=tolerance)
    torch.testing.assert_close(plain.double(), rows.sum().detach(), atol=0, rtol=tolerance)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, atol=tolerance * 10, rtol=tolerance * 10)


def test_divergence_of_logits_and_of_the_base_itself() -> None:
    mine, base, weights = _divergence_inputs(torch.float64)
    logits = functional.linear(*mine).detach().requires_grad_()
    expected, _ = head.summed_divergence(mine[0], base[0], tuple(mine[1:]), tuple(base[1:]), weights)
    found, plain = head.summed_divergence(logits, functional.linear(*base), (None, None), (None, None), weights)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(plain, _plain_divergence(mine, base).sum().detach())
    weighted, nothing = head.summed_divergence(mine[0], mine[0].detach(), *[(mine[1], mine[2])] * 2, weights)
    weighted.backward()
    assert abs(nothing.item()) < 1e-12
    assert mine[0].grad is not None
    assert mine[0].grad.abs().max() < 1e-15


def test_no_rows_at_all_are_a_loss_of_zero() -> None:
    hidden, weight, _, _ = _inputs()
    none = torch.empty(0, dtype=torch.int64)
    weighted, plain = head.summed_divergence(
        hidden[none], hidden[none].detach(), (weight, None), (weight.detach(), None), torch.empty(0)
    )
    total = head.summed_loss(hidden[none], weight, None, none) + weighted
    total.backward()
    assert total.item() == plain.item() == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()
