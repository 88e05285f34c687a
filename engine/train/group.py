"""The processes that train one model together; alone by default."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class Group(Protocol):
    """Data-parallel processes: each takes its part of every step, all take the same update."""

    rank: int
    world: int

    def wrap(self, loss: nn.Module) -> nn.Module:
        """The loss module whose backward leaves the same gradients, their mean over processes, in every process."""

    def part(self, count: int) -> tuple[int, int]:
        """First and number of the rows of a step of ``count`` that this process takes."""

    def total(self, value: Tensor) -> Tensor:
        """The sum over processes."""


class Alone:
    """One process: nothing is communicated."""

    rank, world = 0, 1

    def wrap(self, loss: nn.Module) -> nn.Module:
        return loss

    def part(self, count: int) -> tuple[int, int]:
        return 0, count

    def total(self, value: Tensor) -> Tensor:
        return value


ALONE = Alone()
