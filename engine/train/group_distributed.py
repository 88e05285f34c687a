"""Groups over ``torch.distributed``: a whole model in every process (DDP), or one model sharded over all (FSDP2).

The process group has two backends: NCCL for tensors on GPUs, gloo for those in host memory, so that decisions and
counts never wait for a device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from engine.train.group import Tree, map_tensors
from store.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Replicated:
    """DDP: every process holds the whole model and averages gradients while backward runs."""

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.world = distributed.get_world_size()

    def wrap(self, loss: nn.Module) -> nn.Module:
        self._part_ways()
        device = next(loss.parameters()).device
        with warnings.catch_warnings():
            # Newer versions have another name for it, which older ones do not know.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return DistributedDataParallel(
                loss,
                device_ids=[device.index] if device.type == "cuda" else None,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )

    def part(self, count: int) -> tuple[int, int]:
        share, rest = divmod(count, self.world)
        return share * self.rank + min(self.rank, rest), share + (self.rank < rest)

    def synchronising(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        return nullcontext() if last else loss.no_sync()

    def total(self, value: Tensor) -> Tensor:
        result = value.detach().clone()
        distributed.all_reduce(result)
        return result

    def whole(self, value: Tensor) -> Tensor:
        return value

    def every(self, value: Tensor) -> list[Tensor]:
        values = [torch.empty_like(value) for _ in range(self.world)]
        distributed.all_gather(values, value)
        return values

    def agree(self, decision: int) -> int:
        shared = torch.tensor(decision)
        distributed.broadcast(shared, src=0)
        return int(shared)

    def collect(self, tree: Tree) -> Tree:
        return map_tensors(tree, self._take)

    def hand_out(self, read: Callable[[], Tree | None]) -> Tree | None:
        tree = read() if self.rank == 0 else None
        form = [map_tensors(tree, _outline)]
        distributed.broadcast_object_list(form, src=0, device=torch.device("cpu"))
        return tree if self.rank == 0 else form[0]

    def deliver(self, value: Tensor, like: Tensor) -> Tensor:
        if not _is_array(value):
            return value
        # A sharded parameter speaks of its whole, too: dtype and device are those of its pieces.
        content = value.to(like.device) if self.rank == 0 else torch.empty_like(value, device=like.device)
        if isinstance(like, DTensor) and value.shape == like.shape:
            return distribute_tensor(content, like.device_mesh, like.placements)
        distributed.broadcast(content, src=0)
        return content

    def opened(self, loss: nn.Module) -> AbstractContextManager[None]:
        return nullcontext()

    def assembled(self, model: nn.Module) -> AbstractContextManager[bool]:
        return nullcontext(self.rank == 0)

    def _take(self, value: Tensor) -> Tensor:
        whole = self.whole(value)
        return whole.to("cpu", copy=True) if self.rank == 0 else _outline(whole)

    def _part_ways(self) -> None:
        """Weights were drawn alike in all processes; dropout must not be."""
        if self.rank:
            torch.manual_seed(torch.initial_seed() + self.rank)


class Sharded(Replicated):
    """FSDP2: every decoder layer and the rest of the model are sharded over all processes and gathered when used."""

    def __init__(self) -> None:
        super().__init__()
        self._loss: nn.Module | None = None
        self._open = False

    def wrap(self, loss: nn.Module) -> nn.Module:
        _refuse_integers(loss)
        self._part_ways()
        mesh = distributed.init_device_mesh(next(loss.parameters()).device.type, (self.world,))
        for layer in find_layers(loss.model):
            fully_shard(layer, mesh=mesh)
        # Embeddings and output layer stay with the root, which holds them gathered from the loss module's forward to
        # the end of its backward: the head needs the output matrix outside any layer's own forward.
        fully_shard(loss, mesh=mesh, reshard_after_forward=False)
        register_fsdp_forward_method(loss, "gather")
        self._loss = loss
        return loss

    def synchronising(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        loss.set_requires_gradient_sync(last)
        return nullcontext()

    def whole(self, value: Tensor) -> Tensor:
        return value.full_tensor() if isinstance(value, DTensor) else value

    @contextmanager
    def opened(self, loss: nn.Module) -> Iterator[None]:
        self._gather()
        try:
            yield
        finally:
            self._scatter()

    @contextmanager
    def assembled(self, model: nn.Module) -> Iterator[bool]:
        was_open = self._open
        # Gathered parameters would be put back in the middle of saving: reading a state dictionary shards them.
        self._scatter()
        spread = [(module, name, p) for module in model.modules() for name, p in module.named_parameters(recurse=False)]
        whole: dict[int, nn.Parameter] = {}
        for _, _, parameter in spread:
            if id(parameter) not in whole:
                content = self._take(parameter.detach())
                whole[id(parameter)] = nn.Parameter(content, requires_grad=parameter.requires_grad)
        try:
            if self.rank == 0:
                for module, name, parameter in spread:
                    module._parameters[name] = whole[id(parameter)]
            yield self.rank == 0
        finally:
            for module, name, parameter in spread:
                module._parameters[name] = parameter
            if was_open:
                self._gather()

    def _gather(self) -> None:
        with torch.no_grad():
            self._loss.gather()
        self._open = True

    def _scatter(self) -> None:
        self._loss.reshard()
        self._open = False


GROUPS = {"none": Replicated, "full": Sharded}
"""By ``training.sharding``."""


def find_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder layers: the first list of modules, in the order of definition, is theirs in every family."""
    return list(next(module for module in model.base_model.modules() if isinstance(module, nn.ModuleList)))


def _refuse_integers(loss: nn.Module) -> None:
    integers = [name for name, parameter in loss.named_parameters() if not parameter.is_floating_point()]
    if integers:
        raise ConfigError(
            f"training.sharding: full cannot shard quantised weights ({integers[0]})",
            "Use sharding: none, or method.quantize: none.",
        )


def _is_array(value: Tensor) -> bool:
    return value.is_floating_point() and value.ndim > 0


def _outline(value: Tensor) -> Tensor:
    """Shape and dtype of an array; single numbers and generators' states are small and kept."""
    return value.to("meta") if _is_array(value) else value.to("cpu", copy=True)
