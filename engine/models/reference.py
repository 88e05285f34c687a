"""The base model that a trained one is held to: its own weights without the adapters, or a frozen copy."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from engine.models.decoder import Decoder

if TYPE_CHECKING:
    from peft.tuners.tuners_utils import BaseTunerLayer


class Reference(Protocol):
    """Predictions of the base model, without gradients."""

    def hidden(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        """As ``Decoder.hidden``."""

    @property
    def output(self) -> tuple[Tensor | None, Tensor | None]:
        """Weight and bias of the output layer, as ``Decoder``'s."""


class FrozenCopy:
    """A second model with the weights that the first one has now: its memory once more (4 bytes a parameter in
    float32), and in every process of a group."""

    def __init__(self, decoder: Decoder) -> None:
        model = copy.deepcopy(decoder.model).requires_grad_(False).eval()
        self._decoder = Decoder(model, plain=decoder.plain)

    @torch.no_grad()
    def hidden(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        return self._decoder.hidden(tokens, documents)

    @property
    def output(self) -> tuple[Tensor | None, Tensor | None]:
        return self._decoder.weight, self._decoder.bias


class WithoutAdapters:
    """The model itself with its adapters switched off: no memory, whatever the base's precision."""

    def __init__(self, decoder: Decoder, layers: list[BaseTunerLayer]) -> None:
        self._decoder = decoder
        self._layers = layers

    @torch.no_grad()
    def hidden(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        with _switched_off(self._layers):
            return self._decoder.hidden(tokens, documents)

    @property
    def output(self) -> tuple[Tensor | None, Tensor | None]:
        weight, bias = self._decoder.weight, self._decoder.bias
        return None if weight is None else weight.detach(), None if bias is None else bias.detach()


def reference_of(decoder: Decoder) -> Reference:
    """The base of a model that is about to be trained, all of it or adapters attached to it."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in decoder.model.modules() if isinstance(module, BaseTunerLayer)]
    return WithoutAdapters(decoder, layers) if layers else FrozenCopy(decoder)


@contextmanager
def _switched_off(layers: list[BaseTunerLayer]) -> Iterator[None]:
    """Adapters off, then on with the same weights trained as before: switching sets ``requires_grad``."""
    trained = [(weight, weight.requires_grad) for layer in layers for weight in layer.parameters()]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for weight, flag in trained:
            weight.requires_grad_(flag)
