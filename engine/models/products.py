"""Linear layers' products in float32 on a CPU, by whichever of torch's two libraries is the faster on this processor.

torch takes float32 products from MKL, which keeps off AMD's 512-bit units; oneDNN, which torch also holds, uses them:
over twice as fast there, with the same float32 arithmetic (sums in another order). Elsewhere nothing changes.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CPU_INFO = Path("/proc/cpuinfo")
MINIMUM_PRODUCT, MINIMUM_OUTER = 1 << 20, 1 << 23
"""Multiplications below which calling oneDNN costs more than it saves (measured)."""


def product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows`` (…, in) times ``matrix`` (out, in) transposed, plus ``bias``: ``functional.linear``, without gradients.

    Either may be any strided view, so a transposed matrix costs no copy.
    """
    if _suits(rows, matrix, MINIMUM_PRODUCT):
        return _onednn(rows, matrix, bias)
    return functional.linear(rows, matrix, bias)


def outer_product(left: Tensor, right: Tensor) -> Tensor:
    """``leftᵀ · right`` of (rows, a) and (rows, b): (a, b), without gradients; possibly a transposed view."""
    if not _suits(left.t(), right.t(), MINIMUM_OUTER):
        return left.t() @ right
    # Measured: faster with the wider operand second.
    if left.shape[1] > right.shape[1]:
        return _onednn(right.t(), left.t()).t()
    return _onednn(left.t(), right.t())


def zeros_for_outer(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Zeros like ``matrix``, at least float32, laid out as ``add_outer_product`` of ``dtype`` operands adds fastest."""
    kind = torch.promote_types(dtype, torch.float32)
    if dtype == torch.float32 and matrix.device.type == "cpu" and matrix.shape[0] > matrix.shape[1]:
        return matrix.new_zeros(matrix.shape[::-1], dtype=kind).t()
    return torch.zeros_like(matrix, dtype=kind)


def add_outer_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += leftᵀ · right``, in ``total``'s precision also where the product is taken in a shorter one."""
    if left.dtype != total.dtype:
        total += left.t() @ right
    elif _suits(left.t(), right.t(), MINIMUM_OUTER):
        total += outer_product(left, right)
    else:
        total.addmm_(left.t(), right)


def linear(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """``functional.linear`` in the precision of autocast, without gradients."""
    return product(rows, matrix, bias) if _plain(rows, matrix) else functional.linear(rows, matrix, bias)


def speed_up_linear(model: PreTrainedModel) -> None:
    """Let the linear layers of ``model``, GPT-2's transposed ones included, compute by ``product``, in place.

    Only layers of exactly the two known classes; names, weights and what the layers are instances of stay.
    """
    if not _onednn_is_faster():
        return
    faster = {nn.Linear: Linear, Conv1D: TransposedLinear}
    for module in model.modules():
        module.__class__ = faster.get(type(module), type(module))


class Linear(nn.Linear):
    """``nn.Linear`` by ``product``."""

    def forward(self, input: Tensor) -> Tensor:
        if not _plain(input, self.weight):
            return super().forward(input)
        return _Product.apply(input, self.weight, self.bias)


class TransposedLinear(Conv1D):
    """GPT-2's linear layer, whose weight is (in, out), by ``product``."""

    def forward(self, x: Tensor) -> Tensor:
        if not _plain(x, self.weight):
            return super().forward(x)
        return _Product.apply(x, self.weight.t(), self.bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, matrix)
        return product(rows, matrix, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, matrix = ctx.saved_tensors
        needs_rows, needs_matrix, needs_bias = ctx.needs_input_grad
        flat = grad.reshape(-1, grad.shape[-1])
        return (
            product(grad, matrix.t()) if needs_rows else None,
            outer_product(flat, rows.reshape(-1, rows.shape[-1])) if needs_matrix else None,
            flat.sum(0) if needs_bias else None,
        )


def _plain(rows: Tensor, matrix: Tensor) -> bool:
    """Whether a layer's own float32 product on the CPU is asked for, which ``_Product`` then differentiates."""
    return (
        rows.device.type == "cpu"
        and rows.dtype == matrix.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _onednn(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")


def _suits(rows: Tensor, matrix: Tensor, minimum: int) -> bool:
    return (
        rows.device.type == "cpu"
        and rows.dtype == matrix.dtype == torch.float32
        and rows.numel() * matrix.shape[0] >= minimum
        and _onednn_is_faster()
    )


@functools.cache
def _onednn_is_faster() -> bool:
    """Whether this is an AMD processor with 512-bit units and torch's oneDNN takes plain tensors.

    By what the processor is, not by timing it: a resumed run must compute as it did before.
    """
    try:
        described = CPU_INFO.read_text()
    except OSError:
        return False
    if "AuthenticAMD" not in described or "avx512f" not in described or not torch.backends.mkldnn.is_available():
        return False
    one = torch.ones(1, 1)
    try:
        return _onednn(one, one, one[0]).item() == 2.0
    except (AttributeError, RuntimeError, TypeError):
        return False
