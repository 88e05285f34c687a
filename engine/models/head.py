"""The output layer and its loss, computed in chunks of rows so that a full logits matrix never exists.

Rows are predictions: ``hidden`` is (rows, width), ``weight`` (vocabulary, width), ``targets`` (rows,) int64. The
log-sum-exp is taken in float32 whatever the precision of the matrix product, as ``transformers`` does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.models.products import add_outer_product, linear, product, zeros_for_outer

CPU_CHUNK_ELEMENTS = 1 << 19
"""Logits held at once on a CPU: 2 MiB of float32 stay in the second-level caches of two cores (measured)."""
DEVICE_CHUNK_ELEMENTS = 1 << 26
"""The same on an accelerator: 256 MiB of float32, enough rows to keep it busy at a vocabulary of 50k."""
MINIMUM_CHUNK_ROWS = 128


def summed_loss(
    hidden: Tensor, weight: Tensor | None, bias: Tensor | None, targets: Tensor, row_weights: Tensor | None = None
) -> Tensor:
    """Sum of the rows' cross-entropies (nats), differentiable in ``hidden``, ``weight`` and ``bias``.

    ``row_weights`` (rows,) float32 multiply the rows' losses. ``weight=None`` says that ``hidden`` already holds logits
    (models that transform them after the output layer).
    """
    if weight is not None:
        return _ChunkedLoss.apply(*_differentiated(hidden, weight, bias), targets, row_weights)
    if row_weights is None:
        return functional.cross_entropy(hidden.float(), targets, reduction="sum")
    return (functional.cross_entropy(hidden.float(), targets, reduction="none") * row_weights).sum()


def summed_divergence(
    hidden: Tensor,
    base_hidden: Tensor,
    output: tuple[Tensor | None, Tensor | None],
    base_output: tuple[Tensor | None, Tensor | None],
    row_weights: Tensor,
) -> tuple[Tensor, Tensor]:
    """Σ row_weight · KL(p_base ‖ p) in nats, differentiable in ``hidden`` and ``output``; and Σ KL, without gradient.

    ``output`` and ``base_output`` are the output layers' (weight, bias); weight None as in ``summed_loss``.
    """
    if output[0] is None:
        mine, base = (torch.log_softmax(_wide(logits), -1) for logits in (hidden, base_hidden.detach()))
        rows = functional.kl_div(mine, base, reduction="none", log_target=True).sum(-1)
        return (rows * row_weights).sum(), rows.detach().sum()
    return _ChunkedDivergence.apply(*_differentiated(hidden, *output), base_hidden, *base_output, row_weights)


@torch.no_grad()
def row_losses(hidden: Tensor, weight: Tensor | None, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Cross-entropy (nats) of every row: (rows,) float32, without gradients."""
    losses = torch.empty(targets.shape[0], dtype=torch.float32, device=hidden.device)
    vocabulary = hidden.shape[-1] if weight is None else weight.shape[0]
    for rows in _chunks(targets.shape[0], vocabulary, hidden.device):
        chunk = hidden[rows] if weight is None else linear(hidden[rows], weight, bias)
        chunk = chunk.float()
        picked = chunk.gather(1, targets[rows].unsqueeze(1)).squeeze(1)
        torch.sub(torch.logsumexp(chunk, -1), picked, out=losses[rows])
    return losses


class _ChunkedLoss(torch.autograd.Function):
    """Loss and gradients in one pass over the chunks: the softmax is at hand when the loss is, so nothing is recomputed
    and backward only scales. Three matrix products a chunk, as in the plain computation."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, row_weights: Tensor | None
    ) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        needs_hidden, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        rows_in, matrix = hidden.to(dtype), weight.to(dtype)
        grad_hidden = torch.empty_like(rows_in) if needs_hidden else None
        grad_weight = zeros_for_outer(weight, dtype) if needs_weight else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        with torch.autocast(device, enabled=False):
            for rows in _chunks(targets.shape[0], weight.shape[0], hidden.device):
                inputs = rows_in[rows]
                logits = product(inputs, matrix, None if bias is None else bias.to(dtype)).float()
                index = targets[rows].unsqueeze(1)
                log_probabilities = torch.log_softmax(logits, -1)
                picked = log_probabilities.gather(1, index)
                residual = log_probabilities.exp_()
                residual.scatter_add_(1, index, residual.new_full((1, 1), -1.0).expand(index.shape))
                if row_weights is not None:
                    factor = row_weights[rows].unsqueeze(1)
                    picked = picked * factor
                    residual *= factor
                total -= picked.sum()
                if grad_bias is not None:
                    grad_bias += residual.sum(0)
                residual = residual.to(dtype)
                if grad_hidden is not None:
                    grad_hidden[rows] = product(residual, matrix.t())
                if grad_weight is not None:
                    add_outer_product(grad_weight, residual, inputs)
        ctx.grads = (grad_hidden, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scaled = tuple(None if part is None else part.mul_(grad.to(part.dtype)) for part in ctx.grads)
        ctx.grads = None
        return (*scaled, None, None)


class _ChunkedDivergence(torch.autograd.Function):
    """KL(p_base ‖ p) = Σ_v p_base (log p_base − log p) of every row; its gradient in the logits is p − p_base."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        base_hidden: Tensor,
        base_weight: Tensor,
        base_bias: Tensor | None,
        row_weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        needs_hidden, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        wide = torch.promote_types(dtype, torch.float32)
        mine = [None if part is None else part.to(dtype) for part in (hidden, weight, bias)]
        base = [None if part is None else part.to(dtype) for part in (base_hidden, base_weight, base_bias)]
        grad_hidden = torch.empty_like(mine[0]) if needs_hidden else None
        grad_weight = zeros_for_outer(weight, dtype) if needs_weight else None
        grad_bias = torch.zeros_like(bias, dtype=wide) if needs_bias else None
        weighted, plain = (torch.zeros((), dtype=wide, device=hidden.device) for _ in range(2))
        with torch.autocast(device, enabled=False):
            # Two rows of logits for each row: the base's and the model's.
            for rows in _chunks(hidden.shape[0], 2 * weight.shape[0], hidden.device):
                log_mine = torch.log_softmax(_wide(functional.linear(mine[0][rows], *mine[1:])), -1)
                log_base = torch.log_softmax(_wide(functional.linear(base[0][rows], *base[1:])), -1)
                factor = row_weights[rows].to(wide)
                expected = log_base.exp()
                divergence = log_base.sub_(log_mine).mul_(expected).sum(-1)
                weighted += (divergence * factor).sum()
                plain += divergence.sum()
                residual = log_mine.exp_().sub_(expected).mul_(factor.unsqueeze(1))
                if grad_bias is not None:
                    grad_bias += residual.sum(0)
                residual = residual.to(dtype)
                if grad_hidden is not None:
                    grad_hidden[rows] = product(residual, mine[1].t())
                if grad_weight is not None:
                    add_outer_product(grad_weight, residual, mine[0][rows])
        ctx.grads = (grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(plain)
        return weighted, plain

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        scaled = tuple(None if part is None else part.mul_(grad.to(part.dtype)) for part in ctx.grads)
        ctx.grads = None
        return (*scaled, None, None, None, None)


def _differentiated(*inputs: Tensor | None) -> tuple[Tensor | None, ...]:
    """The inputs, detached where gradients are switched off: a function of its own is not told, and would take them."""
    if torch.is_grad_enabled():
        return inputs
    return tuple(None if part is None else part.detach() for part in inputs)


def _wide(logits: Tensor) -> Tensor:
    """At least float32, whatever the precision of the matrix product."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _chunks(rows: int, vocabulary: int, device: torch.device) -> list[slice]:
    elements = CPU_CHUNK_ELEMENTS if device.type == "cpu" else DEVICE_CHUNK_ELEMENTS
    size = max(MINIMUM_CHUNK_ROWS, elements // vocabulary)
    return [slice(first, min(first + size, rows)) for first in range(0, rows, size)]
