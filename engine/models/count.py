"""How many parameters a model has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from engine.models.adapter import adapter_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class ParameterCounts:
    """Parameters of a model; a tensor shared by two layers counts once."""

    total: int
    non_embedding: int
    """Without token and position embeddings and without an output layer of its own."""
    trained: int


def count_parameters(model: nn.Module) -> ParameterCounts:
    """Count the parameters of ``model``; adapters count as trained, never as part of the model."""
    adapters = adapter_parameters(model)
    parameters = {id(p): p for p in model.parameters() if id(p) not in adapters}
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    tables |= {id(p) for p in output.parameters()} if output is not None else set()
    return ParameterCounts(
        total=_sum(parameters.values()),
        non_embedding=_sum(p for key, p in parameters.items() if key not in tables),
        trained=_sum(p for p in model.parameters() if p.requires_grad),
    )


def _sum(parameters: Iterable[nn.Parameter]) -> int:
    return sum(_count(p) for p in parameters)


def _count(parameter: nn.Parameter) -> int:
    # Weights held in 4 bits are packed, two to a byte; their state knows the shape.
    shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
    return parameter.numel() if shape is None else shape.numel()
