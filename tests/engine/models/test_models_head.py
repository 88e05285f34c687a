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
