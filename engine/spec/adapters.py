"""Whether the methods of an adaptation block, their options and what is kept of them fit together."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from engine.spec.experiment import AdaptBlock, Experiment, PretrainedBase
from engine.spec.located import KeyPath
from engine.spec.methods import PEFT_METHODS, takes
from engine.spec.problems import Problem

_OPTIONS = ("rank", "alpha", "dropout")


def check_methods(experiment: Experiment, block: AdaptBlock, path: KeyPath) -> Iterator[Problem]:
    """What can only fail: methods the base's layers do not know, and what quantised or sharded weights cannot do."""
    adapters = [name for name in block.method if name != "full"]
    if isinstance(block.lr, dict):
        for name in block.lr:
            if name not in block.method:
                text = f"is given a rate, and the block uses {_list(block.method)}"
                yield Problem((*path, "lr", name), text, "Add it to method, or remove its rates.")
    base = experiment.base
    if isinstance(base, PretrainedBase) and base.family == "gpt2":
        for name in adapters:
            if not PEFT_METHODS[name].conv1d:
                text = f"= {name} cannot adapt the layers of the family gpt2 (Conv1D)"
                yield Problem((*path, "method"), text, "Use another method, or base.family: llama.")
    training = experiment.training_of(block)
    if block.wise_ft and training and training.sharding == "full":
        yield Problem((*path, "wise_ft"), "needs whole weights", "Use sharding: none, or leave wise_ft out.")
    if block.quantize != "none":
        yield from _check_quantized(experiment, block, path)


def _check_quantized(experiment: Experiment, block: AdaptBlock, path: KeyPath) -> Iterator[Problem]:
    here = (*path, "quantize")
    for name in block.method:
        if name == "full" or not PEFT_METHODS[name].quantized:
            yield Problem(here, f"is {block.quantize}, which {name} cannot train on", "Use lora, or quantize: none.")
    if block.keep != "none" and block.save != "adapter":
        text = f"is {block.save}; merged into quantised weights an adapter is not what was scored"
        yield Problem((*path, "save"), text, "Use save: adapter, or keep: none.")
    if block.wise_ft:
        yield Problem((*path, "wise_ft"), "cannot interpolate quantised weights", "Use quantize: none.")
    if not experiment.resources.gpus_per_run:
        text = f"is {block.quantize}, and runs get no GPU"
        yield Problem(here, text, "Set resources: {gpus_per_run: 1}; bitsandbytes needs CUDA.")


def caution_methods(experiment: Experiment) -> Iterator[str]:
    """What is asked of a method that it does not know, and libraries that are missing here."""
    for index, block in enumerate(experiment.adapt):
        adapters = [name for name in block.method if name != "full"]
        for option in _OPTIONS:
            ignoring = [name for name in adapters or block.method if not takes(name, option)]
            if option in block.model_fields_set and ignoring:
                yield f"adapt.{index}: {option} means nothing to {_list(ignoring)}"
        if not adapters and block.save != "merged":
            yield f"adapt.{index}: save: {block.save} means nothing to full; its states are whole models"
        if block.quantize != "none" and find_spec("bitsandbytes") is None:
            yield (
                f"adapt.{index}: quantize: {block.quantize} needs bitsandbytes, which is not installed here "
                "(`pip install 'odyssey-tui[qlora]'`)"
            )


def _list(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names)
