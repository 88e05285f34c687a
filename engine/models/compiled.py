"""torch.compile of a decoder for the one shape that training repeats."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.models.decoder import Decoder
from store.errors import ConfigError

COMPILERS = {"cpu": ("CXX", "g++"), "cuda": ("CC", "gcc")}
"""What generated code is built with: the variable that names the compiler, and the default."""
HINT = "Install a compiler (Debian: apt-get install g++ python3-dev), or leave training.compile out."


@dataclass(frozen=True)
class CompiledDecoder(Decoder):
    """A decoder whose hidden states are compiled for token ids of ``shape`` (rows, length), for training alone.

    A step's odd batch and evaluation run as without it: a compilation takes longer than they do. The model's modules
    and the names of its weights stay as they are.
    """

    shape: tuple[int, int]
    compiled: Callable[[Tensor, Tensor | None], Tensor]

    def hidden(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        """As the decoder's; ``ConfigError`` when the compilation fails."""
        if tuple(tokens.shape) != self.shape or not torch.is_grad_enabled():
            return super().hidden(tokens, documents)
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self.compiled(tokens, documents)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"training.compile: the model cannot be compiled: {reason}", HINT) from error


def compile_decoder(decoder: Decoder, shape: tuple[int, int]) -> CompiledDecoder:
    """``decoder``, compiled at its first use; ``ConfigError`` when there is no compiler."""
    variable, default = COMPILERS[decoder.device.type]
    compiler = os.environ.get(variable, default)
    if shutil.which(compiler) is None:
        raise ConfigError(f"training.compile: there is no compiler ({compiler})", HINT)
    return CompiledDecoder(decoder.model, decoder.plain, shape, torch.compile(decoder.hidden, dynamic=False))
