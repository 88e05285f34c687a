"""PEFT adapters on a causal LM: attached in place, and merged into plain weights when a state is saved."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.models.quantize import prepare_quantized
from engine.spec.methods import PEFT_METHODS
from store.errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from engine.spec.run import Method


def attach_method(model: PreTrainedModel, method: Method, revision: str | None = None) -> PeftModel | None:
    """Make ``model`` trainable by ``method``, in place: every weight (None is returned), or an adapter on frozen ones.

    ``target_modules`` is ``all-linear`` (every linear layer but the output), or names separated by commas. Adapter
    weights are drawn from torch's global generator; untrained they change nothing. ``revision`` is the base's, noted in
    the adapter's configuration. ``ConfigError`` when no module has one of the names, or the method cannot adapt it.
    """
    if method.name == "full":
        model.requires_grad_(True)
        return None
    import peft

    entry = PEFT_METHODS[method.name]
    transposed = _is_transposed(model)
    if transposed and not entry.conv1d:
        raise ConfigError(
            f"method: {method.name} cannot adapt this model: its layers are GPT-2's (Conv1D), which peft's "
            f"{method.name} does not know",
            f"Use {', '.join(name for name, one in PEFT_METHODS.items() if one.conv1d)}, or a base of another family.",
        )
    arguments = {theirs: _option(method, ours) for ours, theirs in entry.options.items()}
    config_type = getattr(peft, entry.config)
    config = config_type(
        target_modules=_targets(method),
        task_type="CAUSAL_LM",
        revision=revision,
        # GPT-2 stores its matrices transposed: the adapter has to know.
        **({"fan_in_fan_out": True} if transposed else {}),
        **arguments,
        **entry.constants,
        **_DERIVED.get(method.name, _nothing)(model),
    )
    model.requires_grad_(False)
    if method.quantize != "none":
        prepare_quantized(model)
    try:
        adapted = peft.get_peft_model(model, config)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"method: {method.name} with target_modules {method.target_modules!r} fits no layer of this model "
            f"({' '.join(str(error).split())[:120]})",
            f"Use all-linear, or names among {', '.join(sorted(_linear_names(model)))}.",
        ) from error
    _refuse_shared_weights(model, method)
    return adapted


def adapted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that carry an adapter, by name: each holds the layer it stands for as ``base_layer``."""
    return {name: m for name, m in model.named_modules() if isinstance(getattr(m, "base_layer", None), nn.Module)}


def adapter_parameters(model: nn.Module) -> set[int]:
    """Identities of the parameters that adapters add to a model."""
    return {
        id(parameter)
        for layer in adapted_layers(model).values()
        for name, parameter in layer.named_parameters()
        if not name.startswith("base_layer.")
    }


def set_dropout(model: nn.Module, training: bool) -> None:
    """Switch the adapters' dropout; the model itself always computes as in evaluation, without dropout."""
    for layer in adapted_layers(model).values():
        layer.training = training
        for name, part in layer.named_children():
            if name != "base_layer":
                part.train(training)


@torch.no_grad()
def merged_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The state dictionary as if no adapter were attached, with each adapter merged into its layer.

    Layers are copied one at a time, so the model is neither changed nor doubled.
    """
    layers = adapted_layers(model)
    prefixes = tuple(f"{name}." for name in layers)
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(prefixes)}
    for name, layer in layers.items():
        merged = copy.deepcopy(layer)
        merged.merge(safe_merge=True)
        for part, tensor in merged.get_base_layer().state_dict().items():
            weights[f"{name}.{part}"] = tensor.cpu()
    return weights


def _targets(method: Method) -> str | list[str]:
    if method.target_modules == "all-linear":
        return method.target_modules
    return [name.strip() for name in method.target_modules.split(",")]


def _option(method: Method, name: str) -> Any:
    value = getattr(method, name)
    return 2 * method.rank if name == "alpha" and value is None else value


def _is_transposed(model: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())


def _linear_names(model: nn.Module) -> set[str]:
    from transformers.pytorch_utils import Conv1D

    return {name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)}


def _refuse_shared_weights(model: PreTrainedModel, method: Method) -> None:
    """A merged adapter on a tied output layer would change the embeddings too, which it did not while it trained."""
    embeddings = model.get_input_embeddings()
    embeddings = getattr(embeddings, "base_layer", embeddings)
    output = model.get_output_embeddings()
    layers = adapted_layers(model).values()
    if output is None or getattr(output, "base_layer", output).weight is not embeddings.weight:
        return
    if any(layer.base_layer.weight is embeddings.weight for layer in layers):
        raise ConfigError(
            f"method: target_modules {method.target_modules!r} names the output layer or the embeddings, and this "
            "model's are one matrix",
            "Leave them out, or use all-linear.",
        )


def _nothing(model: PreTrainedModel) -> dict[str, Any]:
    return {}


def _feedforward(model: PreTrainedModel) -> dict[str, Any]:
    """(IA)³ scales what enters the MLP's last layer, not what leaves it; families peft does not know have no such."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as KNOWN

    # As a pattern: a list would have to name modules exactly as the targets do once they are resolved.
    names = "|".join(re.escape(name) for name in KNOWN.get(model.config.model_type, []))
    return {"feedforward_modules": rf".*\.(?:{names})" if names else []}


def _projection_key(model: PreTrainedModel) -> dict[str, Any]:
    """VeRA's frozen projections follow the run's seed as every adapter's first weights do."""
    return {"projection_prng_key": int(torch.randint(2**31, ()))}


_DERIVED: dict[str, Callable[[PreTrainedModel], dict[str, Any]]] = {"ia3": _feedforward, "vera": _projection_key}
"""Arguments that follow from the model or the generator."""
