"""PEFT adapters on a causal LM: attached in place, and merged into plain weights when a state is saved."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from store.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from engine.spec.run import Method

VARIANTS = {"lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}


def attach_method(model: PreTrainedModel, method: Method) -> None:
    """Make ``model`` trainable by ``method``, in place: every weight, or an adapter on frozen weights.

    ``target_modules`` is ``all-linear`` (every linear layer but the output), or names separated by commas. Adapter
    weights are drawn from torch's global generator. ``ConfigError`` when no module has one of the names.
    """
    if method.name == "full":
        model.requires_grad_(True)
        return
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    targets = method.target_modules
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha if method.alpha is not None else 2 * method.rank,
        lora_dropout=method.dropout,
        target_modules=targets if targets == "all-linear" else [name.strip() for name in targets.split(",")],
        # GPT-2 stores its matrices transposed (Conv1D): the adapter has to know.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
        **VARIANTS[method.name],
    )
    model.requires_grad_(False)
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        linear = {name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)}
        raise ConfigError(
            f"method: target_modules {targets!r} fits no layer of this model",
            f"Use all-linear, or names among {', '.join(sorted(linear))}.",
        ) from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name)


def set_dropout(model: nn.Module, training: bool) -> None:
    """Switch the adapters' dropout; the model itself always computes as in evaluation, without dropout."""
    for name, module in model.named_modules():
        if name.endswith("lora_dropout"):
            module.train(training)


@torch.no_grad()
def merged_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The state dictionary as if no adapter were attached, with each adapter merged into its layer.

    Layers are copied one at a time, so the model is neither changed nor doubled.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    weights = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not any(name.startswith(f"{layer}.") for layer in layers)
    }
    for name, layer in layers.items():
        merged = copy.deepcopy(layer)
        merged.merge(safe_merge=True)
        for part, tensor in merged.get_base_layer().state_dict().items():
            weights[f"{name}.{part}"] = tensor.cpu()
    return weights
