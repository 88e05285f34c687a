"""Groups over ``torch.distributed``: a whole model in every process (DDP), or one model sharded over all (FSDP2).

The process group has two backends: NCCL for tensors on GPUs, gloo for those in host memory, so that decisions and
counts never wait for a device.
"""

from __future__ import annotations

import copy
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

    def assembled(self, model: PreTrainedModel) -> PreTrainedModel | None:
        return model if self.rank == 0 else None

    def _take(self, value: Tensor) -> Tensor:
        whole = self.whole(value)
        return whole.to("cpu", copy=True) if self.rank == 0 else _outline(whole)

    def _part_ways(self) -> None:
        """Weights were drawn alike in all processes; dropout must not be."""
        if self.rank:
            torch.manual_seed(torch.initial_seed() + self.rank)


class Sharded(Replicated):
    """FSDP2: every decoder layer and the rest of the model are sharded over all processes and gathered when used."""

    def wrap(self, loss: nn.Module) -> nn.Module:
        model: PreTrainedModel = loss.model
        _check_shardable(model)
        self._part_ways()
        self._form = _bare(model)
        mesh = distributed.init_device_mesh(next(model.parameters()).device.type, (self.world,))
        for layer in find_layers(model):
            fully_shard(layer, mesh=mesh)
        # Embeddings and output layer stay with the root, which holds them gathered from the loss module's forward to
        # the end of its backward: the head needs the output matrix outside any layer's own forward.
        fully_shard(loss, mesh=mesh)
        register_fsdp_forward_method(loss, "gather")
        return loss

    def synchronising(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        loss.set_requires_gradient_sync(last)
        return nullcontext()

    def whole(self, value: Tensor) -> Tensor:
        return value.full_tensor() if isinstance(value, DTensor) else value

    @contextmanager
    def opened(self, loss: nn.Module) -> Iterator[None]:
        with torch.no_grad():
            loss.gather()
        try:
            yield
        finally:
            loss.reshard()

    def assembled(self, model: PreTrainedModel) -> PreTrainedModel | None:
        weights = self.collect(model.state_dict())
        if self.rank:
            return None
        whole = copy.deepcopy(self._form)
        whole.load_state_dict(weights, assign=True)
        whole.tie_weights()
        return whole


GROUPS = {"none": Replicated, "full": Sharded}
"""By ``training.sharding``."""


def find_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder layers: the first list of modules, in the order of definition, is theirs in every family."""
    return list(next(module for module in model.base_model.modules() if isinstance(module, nn.ModuleList)))


def _check_shardable(model: PreTrainedModel) -> None:
    integers = [name for name, parameter in model.named_parameters() if not parameter.is_floating_point()]
    if integers:
        raise ConfigError(
            f"training.sharding: full cannot shard quantised weights ({integers[0]})",
            "Use sharding: none, or method.quantize: none.",
        )


def _bare(model: PreTrainedModel) -> PreTrainedModel:
    """The same modules with parameters that hold nothing, tied as they are."""
    emptied = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
        for parameter in model.parameters()
    }
    return copy.deepcopy(model, emptied)


def _is_array(value: Tensor) -> bool:
    return value.is_floating_point() and value.ndim > 0


def _outline(value: Tensor) -> Tensor:
    """Shape and dtype of an array; single numbers and generators' states are small and kept."""
    return value.to("meta") if _is_array(value) else value.cpu()
