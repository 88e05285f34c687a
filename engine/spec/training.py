"""Training options that contradict each other, found before anything runs."""

from __future__ import annotations

from collections.abc import Iterator

from engine.spec.located import KeyPath
from engine.spec.problems import Problem
from engine.spec.run import Training


def check_training(training: Training, path: KeyPath) -> Iterator[Problem]:
    """What ``training``, written at ``path``, cannot do."""
    if training.schedule == "wsd" and training.anneal_share == 0:
        yield Problem((*path, "anneal_share"), "is 0, so wsd never decays", "Raise it, or use schedule: constant.")
    if training.schedule == "infinite" and training.constant_lr_share < training.min_lr_share:
        text = f"is {training.constant_lr_share:g}, below min_lr_share {training.min_lr_share:g}"
        yield Problem((*path, "constant_lr_share"), text, "Annealing would raise the rate: lower min_lr_share.")
    if training.schedule == "infinite" and training.cooldown_share + training.warmup_share >= 1:
        text = f"is {training.cooldown_share:g}, which with the warm-up leaves nothing at the constant rate"
        yield Problem((*path, "cooldown_share"), text, "Lower it, or use schedule: cosine.")
    if training.attention == "flash_attention_2" and training.precision != "bf16":
        yield Problem((*path, "attention"), "computes in bf16 only", "Set precision: bf16, or attention: sdpa.")
    if training.validate_every and training.validate_tokens < 2:
        yield Problem((*path, "validate_tokens"), "is 1, which predicts nothing", "Raise it, or set validate_every: 0.")
    if not training.cross_document and training.separator != "eos":
        text = f"is false, and separator: {training.separator} does not tell where documents end"
        yield Problem((*path, "cross_document"), text, "Use separator: eos, or cross_document: true.")
    for number, mask in enumerate(training.masks):
        at: KeyPath = (*path, "masks", number)
        if not (mask.classes or mask.tokens):
            yield Problem(at, "names no targets", 'Give classes: [newline], or tokens: ["\\n"].')
        if mask.treat == "exclude" and mask.weight != 1:
            yield Problem((*at, "weight"), "has no meaning for treat: exclude", "Use treat: weight, or remove it.")


def check_from_scratch(training: Training, path: KeyPath) -> Iterator[Problem]:
    """What ``training`` cannot ask of a model that has no base."""
    for number, mask in enumerate(training.masks):
        if mask.treat == "kl":
            text = "is kl, and a base trained from scratch has none to be held to"
            yield Problem(
                (*path, "masks", number, "treat"), text, "Use exclude or weight, or write the mask in adapt_training."
            )


def check_shared(training: Training, path: KeyPath, budgets: int, axis: str) -> Iterator[Problem]:
    """Whether one trajectory can serve as many budgets along ``axis``."""
    if training.decays and budgets > 1:
        text = f"cannot serve several values of {axis}: the schedule {training.schedule} decays towards one end"
        yield Problem(path, text, "Use schedule: constant with anneal_share, share: false, or give one value.")
