"""Whether what runs occupy fits what they do: processes, shards, and held-out text to validate on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.spec.experiment import Experiment, PretrainedBase
from engine.spec.located import KeyPath
from engine.spec.problems import Problem
from engine.spec.run import Training


def check_resources(experiment: Experiment) -> Iterator[Problem]:
    """What cannot be spread as asked."""
    chosen, path = experiment.resources, ("resources",)
    if chosen.gpus_per_run and chosen.processes > 1:
        text = f"is {chosen.processes}, and gpus_per_run {chosen.gpus_per_run} decides: one process for each GPU"
        yield Problem((*path, "processes"), text, "Remove processes, or set gpus_per_run: 0.")
    for at, training in _trainings(experiment):
        step = training.batch_sequences * training.accumulate
        if count_processes(experiment) > step:
            text = f"make a step of {step} sequences, fewer than the {count_processes(experiment)} processes of a run"
            yield Problem((*at, "batch_sequences"), text, "Raise it or accumulate, or give runs fewer processes.")


def check_validation(experiment: Experiment) -> Iterator[Problem]:
    """Validation during training needs a valid split of what is trained on."""
    base = experiment.base
    if isinstance(base, PretrainedBase) and base.training.validate_every:
        yield from _without_valid(experiment, base.corpora, ("base", "training", "validate_every"))
    for path, training, domains in _adapting(experiment):
        if training.validate_every:
            yield from _without_valid(experiment, domains, (*path, "validate_every"))


def _without_valid(experiment: Experiment, names: Sequence[str], path: KeyPath) -> Iterator[Problem]:
    for name in names:
        corpus = experiment.corpora.get(name)
        # Published datasets may bring a valid split of their own, whatever the shares.
        if corpus is not None and corpus.valid_share == 0 and not corpus.source.startswith(("hf:", "m2d2:")):
            text = f"asks for losses on held-out text, and corpora.{name}.valid_share is 0"
            yield Problem(path, text, "Raise valid_share, or set validate_every: 0.")


def caution_machine(experiment: Experiment) -> Iterator[str]:
    """What changes nothing: shards of one process, weights of 1."""
    for at, training in _trainings(experiment):
        if training.sharding == "full" and count_processes(experiment) == 1:
            yield f"{at[0]}: sharding: full shards nothing in one process; see resources"
        for number, mask in enumerate(training.masks):
            if mask.treat == "weight" and mask.weight == 1:
                yield f"{'.'.join(map(str, at))}.masks.{number}: treat: weight changes nothing with weight 1"


def count_processes(experiment: Experiment) -> int:
    """Processes that train one model together."""
    chosen = experiment.resources
    return chosen.nodes * (chosen.gpus_per_run or chosen.processes)


def _trainings(experiment: Experiment) -> Iterator[tuple[KeyPath, Training]]:
    if isinstance(experiment.base, PretrainedBase):
        yield ("base", "training"), experiment.base.training
    if experiment.adapt_training:
        yield ("adapt_training",), experiment.adapt_training
    for index, block in enumerate(experiment.adapt):
        if block.training and (training := experiment.training_of(block)):
            yield ("adapt", index, "training"), training


def _adapting(experiment: Experiment) -> Iterator[tuple[KeyPath, Training, Sequence[str]]]:
    """Where the training of adaptations is written, and the domains it serves."""
    own: KeyPath = ("adapt_training",) if experiment.adapt_training else ("base", "training")
    common = tuple(dict.fromkeys(name for block in experiment.adapt if not block.training for name in block.domain))
    if experiment.training and common:
        yield own, experiment.training, common
    for index, block in enumerate(experiment.adapt):
        if block.training and (training := experiment.training_of(block)):
            yield ("adapt", index, "training"), training, block.domain
