"""Whether a law falls where its definition says it should: with N, D and r (D-CPT, arXiv 2406.01375, section 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.laws.law import Law
from engine.laws.points import Floats, Points

SHARES = 41
"""Shares between the lowest and the highest fitted one that are tried at every fitted (N, P, D)."""
STEP = 1e-4


@dataclass(frozen=True)
class Sign:
    """One variable: over how much of the fitted region the law rises with it, and where."""

    variable: str
    rising: float
    """Share of the tried points."""
    low: float
    high: float
    """Values of the variable where it rises; NaN where it never does."""
    why: str = ""

    @property
    def sentence(self) -> str:
        """The same in words; empty where the law falls everywhere."""
        if not self.rising:
            return ""
        where = f"from {self.low:.3g} to {self.high:.3g}" if self.low < self.high else f"at {self.low:.3g}"
        why = f" ({self.why})" if self.why else ""
        return (
            f"The law rises with {self.variable} over {self.rising:.0%} of the fitted region, {where}{why}: "
            "by its definition it should fall."
        )


def check_signs(law: Law, points: Points) -> tuple[Sign, ...]:
    """The variables that ``law.form`` should fall with, tried over the region of the fitted ``points``."""
    return tuple(_check(law, points, variable) for variable in law.form.falls_with)


def _check(law: Law, points: Points, variable: str) -> Sign:
    if variable == "r":
        low, high = float(points.share.min()), float(points.share.max())
        values = np.linspace(low, high, SHARES)
        count = len(points)
        tried = points.select(np.repeat(np.arange(count), SHARES))
        share = np.tile(values, count)
        before, after = (_with_share(tried, np.clip(share + sign * STEP, low, high)) for sign in (-1, 1))
        at = share
    else:
        column = "n_params" if variable == "N" else "adapt_tokens"
        at = getattr(points, column)
        # D stays when N moves: A = D/N is no variable of these forms.
        before, after = (replace(points, **{column: at * np.exp(sign * STEP)}) for sign in (-1, 1))
    change = law.predict(after) - law.predict(before)
    wrong = change > 1e-12
    rising = at[wrong]
    if not len(rising):
        return Sign(variable, 0.0, float("nan"), float("nan"))
    near_zero = variable == "r" and law.params.get("eta", 1.0) < 1.0
    return Sign(variable, float(wrong.mean()), float(rising.min()), float(rising.max()), "η < 1" if near_zero else "")


def _with_share(points: Points, share: Floats) -> Points:
    return replace(points, share=share)
