"""Model choice: every form fitted without one stage (a PTPP, a size, a checkpoint) and scored on it, in turn.

Only points of split ``fit`` take part, so that a choice never sees what is held out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.laws.errors import LawError
from engine.laws.fit import FitOptions, fit
from engine.laws.form import Form
from engine.laws.points import DISTINCT, Floats, Points, group_values
from engine.laws.scores import score
from engine.laws.usable import refusals

FoldAxis = Literal["ptpp", "n_params", "checkpoint"]
LEAST_PTPP, LEAST_SIZES = 3, 4
"""Distinct values from which an axis is left out in turn: a form needs two PTPP or three sizes of those that remain."""
STARTS = 200
"""Of each fit: enough for the best basin (docs/laws.md), and there are as many fits as forms times folds."""


@dataclass(frozen=True)
class Fold:
    """What is left out once."""

    label: str
    member: NDArray[np.bool_]


@dataclass(frozen=True)
class FormChoice:
    """One form over all folds; ``reason`` says why it could not be judged."""

    form: str
    scores: dict[str, Any]
    """On the predictions of all folds together."""
    by_fold: tuple[float | None, ...]
    """MAPE (percent) of each fold, None where it could not be predicted."""
    reason: str = ""


@dataclass(frozen=True)
class CrossValidation:
    """Forms by what they predict of stages they were not fitted to, the best first."""

    axis: FoldAxis
    folds: tuple[str, ...]
    forms: tuple[FormChoice, ...]

    @property
    def best(self) -> str | None:
        """The form with the lowest mean relative error over all folds."""
        judged = [choice for choice in self.forms if not choice.reason]
        return judged[0].form if judged else None

    def require_best(self) -> str:
        """The best form; a LawError saying why there is none."""
        if self.best is None:
            worst = self.forms[0]
            raise LawError(
                f"No law could be chosen by leaving out each {self.axis} in turn; {worst.form} {worst.reason}",
                "Name one law, or hold rows out to choose by.",
            )
        return self.best


def choose_axis(points: Points) -> FoldAxis:
    """PTPP where there are three, else sizes where there are four, else single checkpoints (N, P)."""
    if len(group_values(points.ptpp)) >= LEAST_PTPP:
        return "ptpp"
    return "n_params" if len(group_values(points.n_params)) >= LEAST_SIZES else "checkpoint"


def cross_validate(
    forms: Sequence[Form],
    points: Points,
    options: FitOptions,
    axis: FoldAxis | None = None,
    hear: Callable[[str, int, int], None] = lambda *_: None,
) -> CrossValidation:
    """Leave one value of ``axis`` out at a time. Raises LawError where there is nothing to leave out.

    A form is judged on the folds it can predict only if it can predict all of them; ``hear(form, done, total)`` gets
    progress.
    """
    points = points.select(points.split == "fit")
    axis = axis or choose_axis(points)
    folds = split_folds(points, axis)
    if len(folds) < 2:
        raise LawError(
            f"Cross-validation needs two values of {axis} at least, and there is {len(folds)}.",
            "Add points at another one, or choose among forms by AICc.",
        )
    quick = replace(options, starts=min(options.starts, STARTS), bootstrap=0)
    choices = []
    for index, form in enumerate(forms):
        hear(form.name, index, len(forms))
        choices.append(_judge(form, points, folds, quick))
    choices.sort(key=lambda choice: (bool(choice.reason), choice.scores.get("mape", np.inf)))
    return CrossValidation(axis, tuple(fold.label for fold in folds), tuple(choices))


def split_folds(points: Points, axis: FoldAxis) -> list[Fold]:
    """One fold for each distinct value (within 5 %) of the axis."""
    if axis != "checkpoint":
        symbol, values = ("P", points.ptpp) if axis == "ptpp" else ("N", points.n_params)
        return [Fold(f"{symbol} = {value:.4g}", _near(values, value)) for value in group_values(values)]
    return [
        Fold(f"N = {n:.4g}, P = {p:.4g}", member)
        for n in group_values(points.n_params)
        for p in group_values(points.ptpp)
        if (member := _near(points.n_params, n) & _near(points.ptpp, p)).any()
    ]


def _near(values: Floats, wanted: float) -> NDArray[np.bool_]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(np.log(values / wanted)) <= DISTINCT


def _judge(form: Form, points: Points, folds: Sequence[Fold], options: FitOptions) -> FormChoice:
    predicted, observed = [], []
    by_fold: list[float | None] = []
    reasons = []
    for fold in folds:
        left_out = points.select(fold.member)
        left_out = left_out.select(refusals(form, left_out) == "")
        try:
            law = fit(form, points.select(~fold.member), options).law
            law.require_inside(left_out)
            losses = law.predict(left_out)
            by_fold.append(score(losses, left_out.loss, options.delta).mape)
        except LawError as refusal:
            by_fold.append(None)
            reasons.append(f"without {fold.label}: {refusal.message}")
            continue
        predicted.append(losses)
        observed.append(left_out.loss)
    if reasons:
        return FormChoice(form.name, {}, tuple(by_fold), reasons[0])
    return FormChoice(
        form.name,
        score(np.concatenate(predicted), np.concatenate(observed), options.delta).as_dict(),
        tuple(by_fold),
    )
