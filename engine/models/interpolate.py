"""WiSE-FT: a model with its weights between the base's and the adapted ones (2109.01903, equation 1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from engine.models.adapter import adapted_layers


class Interpolation:
    """Sets a model that is being adapted to base + α · (adapted − base), and back.

    Made before the first step: without adapters, a copy of the trained weights is kept in host memory (an adapter's
    base weights never change). An adapter counts as what merging it would do to its layer, so for every method
    α = 0 is the base and α = 1 the adapted model.
    """

    def __init__(self, model: nn.Module, *, remember: bool = True) -> None:
        """``remember=False`` costs nothing, for a model that is never interpolated."""
        self._layers = list(adapted_layers(model).values())
        plain = remember and not self._layers
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad} if plain else {}
        self._trained = trained
        self._base = {name: _to_host(parameter) for name, parameter in trained.items()}

    @contextmanager
    @torch.no_grad()
    def at(self, alpha: float) -> Iterator[None]:
        """The model at ``alpha`` within the block; afterwards its weights are what they were, bit for bit."""
        adapted = {name: _to_host(parameter) for name, parameter in self._trained.items()}
        try:
            for name, parameter in self._trained.items():
                _set_between(parameter, self._base[name], parameter, alpha)
            with self._merged(alpha):
                yield
        finally:
            for name, parameter in self._trained.items():
                parameter.copy_(adapted[name])

    @contextmanager
    def _merged(self, alpha: float) -> Iterator[None]:
        """Every adapted layer computes with its own matrix at ``alpha``, its adapter left aside."""
        kept: list[tuple[nn.Module, dict[str, Tensor]]] = []
        try:
            for layer in self._layers:
                base = {name: _to_host(parameter) for name, parameter in layer.base_layer.named_parameters()}
                kept.append((layer, base))
                layer.merge(safe_merge=True)
                for name, parameter in layer.base_layer.named_parameters():
                    _set_between(parameter, base[name], parameter, alpha)
            yield
        finally:
            for layer, base in kept:
                layer.merged_adapters.clear()
                for name, parameter in layer.base_layer.named_parameters():
                    parameter.copy_(base[name])


def _set_between(target: nn.Parameter, base: Tensor, adapted: Tensor, alpha: float) -> None:
    # Exact at both ends, unlike base + alpha * (adapted - base).
    target.copy_(torch.lerp(base.to(target.device), adapted.detach(), alpha))


def _to_host(parameter: nn.Parameter) -> Tensor:
    return parameter.detach().to("cpu", copy=True)
