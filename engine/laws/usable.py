"""Which points a form can be fitted to, which of its parameters the data cannot speak about, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.laws.errors import LawError
from engine.laws.form import Form
from engine.laws.points import Floats, Points, count_distinct

MISSING = {
    "n_params": "number of parameters unknown",
    "adapt_tokens": "adaptation tokens unknown",
    "atpp": "adaptation tokens unknown",
    "share": "share in the mix unknown",
    "replay_ratio": "replay ratio unknown",
    "ptpp": "pretraining tokens per parameter unknown",
    "zero_shot_loss": "no zero-shot loss of its base checkpoint",
    "quality": "no zero-shot loss of its base checkpoint on the base corpus",
}
POSITIVE = ("n_params", "ptpp", "zero_shot_loss", "quality")
BEFORE_ADAPTATION = "D = 0, before adaptation"


def refusals(form: Form, points: Points) -> NDArray[np.str_]:
    """Why each point cannot be used by ``form``; empty where it can."""
    reason = np.full(len(points), "", dtype=object)

    def mark(mask: NDArray[np.bool_], why: str) -> None:
        reason[mask & (reason == "")] = why

    mark(~np.isfinite(points.loss) | ~(points.loss > 0), "loss missing or not positive")
    mark(~(np.isfinite(points.weight) & (points.weight > 0)), "weight missing or not positive")
    for column in form.needs:
        values = getattr(points, column)
        low = values <= 0 if column in POSITIVE else values < 0
        mark(~np.isfinite(values) | low, MISSING[column])
    mark(points.adapt_tokens == 0, BEFORE_ADAPTATION)
    return reason.astype(str)


@dataclass(frozen=True)
class Dropped:
    """Parameters set to their neutral values because the data hold too few values along an axis."""

    axes: tuple[str, ...]
    notes: tuple[str, ...]
    neutral: dict[str, float]
    """Parameter name to the value it is held at."""


def _distinct_shares(points: Points) -> int:
    return len(np.unique(np.round(points.share, 4)))


AXES: dict[str, tuple[Callable[[Points], int], int, str]] = {
    "N": (
        lambda p: count_distinct(p.n_params),
        3,
        "distinct model sizes: the size term is merged into the other levels",
    ),
    "P": (lambda p: count_distinct(p.ptpp), 2, "distinct PTPP: the terms in P are dropped"),
    "r": (_distinct_shares, 2, "distinct share in the mix: the terms in r are dropped"),
}
"""Axis: how many values, how many are needed, what follows when there are fewer."""


def drop_parameters(form: Form, points: Points) -> Dropped:
    """The parameters of ``form`` that ``points`` cannot determine at all."""
    axes, notes, neutral = [], [], {}
    for axis, (count, needed, consequence) in AXES.items():
        concerned = [parameter for parameter in form.parameters if parameter.axis == axis]
        found = count(points)
        if concerned and found < needed:
            axes.append(axis)
            notes.append(f"{found} {consequence}, and no forecast is made along {axis}.")
            neutral.update({parameter.name: parameter.neutral for parameter in concerned})
    return Dropped(tuple(axes), tuple(notes), neutral)


def require_enough(form: Form, points: Points, dropped: Dropped, reasons: NDArray[np.str_]) -> None:
    """Raise a LawError when fewer points are left than the form's free parameters plus one."""
    needed = len(form.parameters) - len(dropped.neutral) + 1
    if len(points) >= needed:
        return
    left_out = "; ".join(f"{count} left out: {why}" for why, count in count_reasons(reasons))
    why = f" ({left_out})" if left_out else ""
    raise LawError(
        f"{form.name} needs at least {needed} points, and {len(points)} can be used{why}.",
        "Add points to those that are fitted, or fit a form with fewer parameters.",
    )


def count_reasons(reasons: NDArray[np.str_]) -> list[tuple[str, int]]:
    """(reason, count), most frequent first."""
    names, counts = np.unique(reasons[reasons != ""], return_counts=True)
    return sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))


def bounds_of(form: Form, dropped: Dropped) -> tuple[Floats, Floats]:
    """Lower and upper ``u`` (p,); dropped parameters have no room."""
    limits = np.array([parameter.limits for parameter in form.parameters], dtype=np.float64)
    for parameter, row in zip(form.parameters, limits, strict=True):
        if parameter.name in dropped.neutral:
            value = dropped.neutral[parameter.name]
            row[:] = (np.log(value) if value > 0 else -np.inf) if parameter.log else value
    return limits[:, 0], limits[:, 1]
