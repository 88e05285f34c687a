"""The processes that train one model together; alone by default."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

Tree = dict[str, Any]
"""Tensors and plain values in dicts, lists and tuples."""


class Group(Protocol):
    """Data-parallel processes: each takes its part of every step, all take the same update.

    Everything but ``part`` is a meeting: every process must call it, in the same order.
    """

    rank: int
    world: int

    def wrap(self, loss: nn.Module) -> nn.Module:
        """The loss module whose backward leaves the gradients' mean over processes in every process.

        Call it before reading the model's parameters: sharding replaces them.
        """

    def part(self, count: int) -> tuple[int, int]:
        """First and number of the rows of a step of ``count`` that this process takes; the first takes the most."""

    def synchronising(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Around forward and backward of one part of a step: gradients are exchanged with its last part only."""

    def total(self, value: Tensor) -> Tensor:
        """The sum over processes."""

    def whole(self, value: Tensor) -> Tensor:
        """A value that may be spread over processes, whole in each."""

    def every(self, value: Tensor) -> list[Tensor]:
        """The processes' values in order; all of one shape, in host memory."""

    def agree(self, decision: int) -> int:
        """The first process's decision, in all."""

    def collect(self, tree: Tree) -> Tree:
        """A copy in the first process's host memory; elsewhere arrays are placeholders without content."""

    def hand_out(self, read: Callable[[], Tree | None]) -> Tree | None:
        """What ``read`` returns in the first process, in the form of ``collect``: only that process calls it."""

    def deliver(self, value: Tensor, like: Tensor) -> Tensor:
        """An array of a collected tree, in every process, spread as ``like`` is if the shapes are equal."""

    def opened(self, loss: nn.Module) -> AbstractContextManager[None]:
        """While the decoder's parts are used outside the loss module: evaluation, saving."""

    def assembled(self, model: nn.Module) -> AbstractContextManager[bool]:
        """While the model is saved: whether this process is the one to do it; there the model has all its weights."""


class Alone:
    """One process: nothing is communicated."""

    rank, world = 0, 1

    def wrap(self, loss: nn.Module) -> nn.Module:
        return loss

    def part(self, count: int) -> tuple[int, int]:
        return 0, count

    def synchronising(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def total(self, value: Tensor) -> Tensor:
        return value

    def whole(self, value: Tensor) -> Tensor:
        return value

    def every(self, value: Tensor) -> list[Tensor]:
        return [value]

    def agree(self, decision: int) -> int:
        return decision

    def collect(self, tree: Tree) -> Tree:
        return map_tensors(tree, lambda value: value.to("cpu", copy=True))

    def hand_out(self, read: Callable[[], Tree | None]) -> Tree | None:
        return read()

    def deliver(self, value: Tensor, like: Tensor) -> Tensor:
        return value

    def opened(self, loss: nn.Module) -> AbstractContextManager[None]:
        return nullcontext()

    def assembled(self, model: nn.Module) -> AbstractContextManager[bool]:
        return nullcontext(True)


ALONE = Alone()


def find_group(sharding: Literal["none", "full"] = "none") -> Group:
    """The group that this process was started in (``engine.rank``); ``ALONE`` for any other."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return ALONE
    from engine.train.group_distributed import GROUPS

    return GROUPS[sharding]()


def map_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """``value`` with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(item, change) for item in value)
    return value
