"""What a law gets wrong: the error at every point, by each axis, and whether it goes with one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from odyssey_tui.services.stored_laws import distinct, near

if TYPE_CHECKING:
    from store.queries.fits import FitPoint

FITTED, HELD_OUT = ("fit", "anchor"), ("score",)
LEANS = 0.3
"""Share of the errors' variance that groups of an axis hold, from which on errors are said to go with it; by chance the
groups hold about (groups − 1)/(points − 1)."""
FEWEST = 6
"""Points from which on that is judged."""


@dataclass(frozen=True)
class Residual:
    """One point as the law sees it; ``error`` is L̂/L − 1."""

    split: str
    run_id: str
    n_params: float
    ptpp: float
    atpp: float
    adapt_tokens: float
    replay_ratio: float
    loss: float
    predicted: float
    error: float


@dataclass(frozen=True)
class ResidualRow:
    """The errors at one value of one axis, relative: mean (the bias) and mean of their sizes; None without points."""

    axis: str
    value: float
    n_fit: int
    bias_fit: float | None
    size_fit: float | None
    n_held_out: int
    bias_held_out: float | None
    size_held_out: float | None


@dataclass(frozen=True)
class Lean:
    """An axis that the errors of a split go with."""

    axis: str
    split: str
    share: float
    """Of the variance of the errors that lies between the values of the axis."""
    sentence: str


GROUPS: Mapping[str, Callable[[Residual], float]] = {
    "P": lambda one: one.ptpp,
    "N": lambda one: one.n_params,
    "ρ": lambda one: one.replay_ratio,
    "A": lambda one: one.atpp,
}


def list_residuals(stored: Sequence[FitPoint]) -> tuple[Residual, ...]:
    """Every point that was fitted, an anchor, or held out, where the law has a value."""

    def number(value: float | None) -> float:
        return math.nan if value is None else float(value)

    return tuple(
        Residual(
            point.split,
            point.run_id or "",
            number(point.n_params),
            number(point.ptpp),
            number(point.atpp),
            number(point.adapt_tokens),
            number(point.replay_ratio),
            point.loss,
            point.predicted,
            point.predicted / point.loss - 1.0,
        )
        for point in stored
        if point.split != "excluded" and point.predicted is not None and point.loss > 0
    )


def summarise(residuals: Sequence[Residual]) -> tuple[ResidualRow, ...]:
    """A row for each value of each axis that has several."""
    rows = []
    for axis, members in group_residuals(residuals).items():
        for value, found in members.items():
            fitted, held_out = ([one.error for one in found if one.split in splits] for splits in (FITTED, HELD_OUT))
            rows.append(ResidualRow(axis, value, *describe(fitted), *describe(held_out)))
    return tuple(rows)


def group_residuals(residuals: Sequence[Residual]) -> dict[str, dict[float, list[Residual]]]:
    """The residuals at each value of each axis that has more than one; values within 5 % are one."""
    groups: dict[str, dict[float, list[Residual]]] = {}
    for axis, value_of in GROUPS.items():
        values = np.array([value_of(one) for one in residuals], dtype=float)
        known = [*([0.0] if (values == 0).any() else []), *distinct(values)]
        members = {
            value: [one for one, here in zip(residuals, near(values, value), strict=True) if here] for value in known
        }
        if len(members) > 1:
            groups[axis] = members
    return groups


def describe(errors: Sequence[float]) -> tuple[int, float | None, float | None]:
    """How many, their mean, the mean of their sizes."""
    if not errors:
        return 0, None, None
    return len(errors), float(np.mean(errors)), float(np.mean(np.abs(errors)))


def find_lean(residuals: Sequence[Residual]) -> tuple[Lean, ...]:
    """The axes that fitted or held-out errors go with, the most telling first."""
    found = []
    for splits, name in ((HELD_OUT, "held-out"), (FITTED, "fitted")):
        chosen = [one for one in residuals if one.split in splits]
        if len(chosen) < FEWEST:
            continue
        for axis, members in group_residuals(chosen).items():
            share = share_between([[one.error for one in group] for group in members.values()])
            if share >= LEANS + (len(members) - 1) / (len(chosen) - 1):
                means = {value: float(np.mean([one.error for one in group])) for value, group in members.items()}
                low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
                found.append(
                    Lean(
                        axis,
                        name,
                        share,
                        f"The {name} errors go with {axis} ({share:.0%} of their variance): on average "
                        f"{percent(means[low])} at {axis} = {low:.4g}, {percent(means[high])} at {axis} = {high:.4g}.",
                    )
                )
    return tuple(sorted(found, key=lambda one: -one.share))


def share_between(groups: Sequence[Sequence[float]]) -> float:
    """The share of the variance that lies between the groups' means; 0 where there is none."""
    everything = np.concatenate([np.asarray(group) for group in groups])
    total = float(np.sum((everything - everything.mean()) ** 2))
    between = sum(len(group) * (float(np.mean(group)) - everything.mean()) ** 2 for group in groups)
    return float(between / total) if total > 0 else 0.0


def percent(share: float | None, digits: int = 1) -> str:
    """``+1.2 %``, ``−0.4 %``."""
    return "–" if share is None else f"{100 * share:+.{digits}f} %".replace("-", "−")
