"""A fitted law, ready to predict: natural parameters, bootstrap draws, and the region it was fitted on. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.laws.errors import LawError
from engine.laws.features import Scales, features
from engine.laws.form import Form, Role
from engine.laws.points import DISTINCT, Floats, Points
from engine.laws.usable import drop_parameters

RANGE_COLUMNS = {
    "N": "n_params",
    "P": "ptpp",
    "D": "adapt_tokens",
    "A": "atpp",
    "rho": "replay_ratio",
    "L0": "zero_shot_loss",
}
"""Symbol to column of what a law may be asked beyond."""


@dataclass(frozen=True)
class Law:
    """``params`` and ``draws`` are natural values in the form's order; ``ranges`` are (low, high) of the fitted points
    by symbol."""

    form: Form
    role: Role
    params: dict[str, float]
    draws: Floats
    """(B, p); B = 0 where no bootstrap was made."""
    p0: float
    ranges: dict[str, tuple[float, float]]
    dropped: tuple[str, ...] = ()
    """Axes along which the law must not be extrapolated: N, P or r."""

    def predict(self, points: Points) -> Floats:
        """Losses (n,) in nats per token."""
        return self._evaluate(self.form.to_u(self.params)[None], points)[0]

    def predict_draws(self, points: Points, zero_shot: Floats | None = None) -> Floats:
        """Losses (B, n), one row per bootstrap draw. ``zero_shot`` (B, 1) replaces L0 draw by draw, where L0 is itself
        uncertain."""
        draws = self.draws if zero_shot is None else self.draws[: len(zero_shot)]
        return self._evaluate(self.form.to_u(draws), points, zero_shot)

    def _evaluate(self, u: Floats, points: Points, zero_shot: Floats | None = None) -> Floats:
        x = features(points, Scales(p0=self.p0))
        if zero_shot is not None:
            x = replace(x, zero_shot=zero_shot)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.form.value(u, x)

    def require_inside(self, points: Points) -> None:
        """Raise a LawError when ``points`` leave the fitted values of an axis whose terms were dropped."""
        for axis, symbol in (("N", "N"), ("P", "P"), ("r", "rho")):
            if axis not in self.dropped:
                continue
            low, high = self.ranges[symbol]
            values = getattr(points, RANGE_COLUMNS[symbol])
            slack = np.exp(DISTINCT)
            if np.any((values > high * slack + 1e-12) | (values < low / slack - 1e-12)):
                raise LawError(
                    f"{self.form.name} was fitted on too few values of {symbol} to be used at another one.",
                    f"Fitted {symbol}: {low:.4g} to {high:.4g}. Add runs at other values of {symbol} and fit again.",
                )

    def extrapolation(self, points: Points) -> dict[str, float]:
        """How far ``points`` reach beyond the fitted ranges: a factor >= 1 by symbol, only where it is above 1.

        rho is judged by distance, not ratio, and left out (every rho lies in [0, 1]).
        """
        factors = {}
        for symbol, (low, high) in self.ranges.items():
            values = getattr(points, RANGE_COLUMNS[symbol])
            values = values[np.isfinite(values) & (values > 0)]
            if symbol == "rho" or not len(values) or low <= 0:
                continue
            factor = max(float(values.max() / high), float(low / values.min()))
            if factor > 1.0 + 1e-9:
                factors[symbol] = factor
        return factors


def fitted_ranges(points: Points) -> dict[str, tuple[float, float]]:
    """(low, high) by symbol over ``points``; columns that were not measured are absent."""
    ranges = {}
    for symbol, column in RANGE_COLUMNS.items():
        values = getattr(points, column)
        values = values[np.isfinite(values)]
        if len(values):
            ranges[symbol] = (float(values.min()), float(values.max()))
    return ranges


def law_from_record(
    form: Form,
    role: Role,
    params: Mapping[str, float],
    draws: Floats,
    p0: float,
    fitted: Points,
) -> Law:
    """Rebuild a law from a stored fit: its parameters by name, draws (B, p) in the order of the form, P0, and the
    points it was fitted on."""
    if missing := [name for name in form.names if name not in params]:
        raise LawError(
            f"The stored fit of {form.name} lacks {', '.join(missing)}.", "It was made by another version: fit again."
        )
    rows = np.asarray(draws, dtype=np.float64).reshape(-1, len(form.names))
    values = {name: float(params[name]) for name in form.names}
    return Law(form, role, values, rows, p0, fitted_ranges(fitted), drop_parameters(form, fitted).axes)
