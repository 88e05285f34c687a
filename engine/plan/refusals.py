"""What an experiment asks of a base that the base cannot give, and what could not be looked up about it."""

from __future__ import annotations

from collections.abc import Iterator

from engine.plan.bases import BaseFacts
from engine.plan.known import Known
from engine.spec.experiment import ExistingBase, Experiment
from store.errors import ConfigError


def refuse_unfitting(experiment: Experiment, known: Known) -> None:
    """``ConfigError`` for budgets in ATPP where N is not known, and for lengths beyond an existing base's context."""
    base = experiment.base
    if not isinstance(base, ExistingBase):
        return
    facts = known.base or BaseFacts(unknown="nobody looked it up")
    for index, block in enumerate(experiment.adapt):
        if block.atpp and not facts.n_params:
            raise ConfigError(
                f"{experiment.name}: adapt.{index}.atpp needs the number of parameters of {base.model}, which is not "
                f"known: {facts.unknown}",
                "Fetch the model first (`odyssey fetch CONFIG`), or give adapt_tokens instead of atpp.",
            )
    lengths = {"evaluate.window": experiment.evaluate.window}
    if experiment.adapt and experiment.training:
        lengths["adapt_training.sequence"] = experiment.training.sequence
    for index, block in enumerate(experiment.adapt):
        if block.training and "sequence" in block.training.model_fields_set:
            lengths[f"adapt.{index}.training.sequence"] = block.training.sequence
    for key, length in lengths.items():
        if length and facts.context and length > facts.context:
            raise ConfigError(
                f"{experiment.name}: {key} is {length}, longer than the context of {base.model}, {facts.context}",
                f"Set it to {facts.context} or less.",
            )


def unknowns(experiment: Experiment, known: Known) -> Iterator[str]:
    """Cautions about what the plan had to leave open or assume."""
    base = experiment.base
    if isinstance(base, ExistingBase):
        if known.base and not known.base.n_params:
            yield (
                f"base: the size of {base.model} is not known ({known.base.unknown}), so FLOPs and memory are not "
                "planned"
            )
        return
    if experiment.tokenizer.model and known.vocabulary is None:
        yield (
            f"tokenizer: {experiment.tokenizer.model} is not here yet, so N and the budgets are planned with the "
            "vocabulary of GPT-2"
        )
