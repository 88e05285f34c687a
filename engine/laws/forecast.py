"""Forecast curves with bands: a law along one axis, everything else fixed. numpy only, fast enough to follow the
keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.laws.errors import LawError
from engine.laws.form import Role
from engine.laws.law import RANGE_COLUMNS, Law
from engine.laws.points import Floats, Points

ForecastAxis = Literal["adapt_tokens", "atpp", "replay_ratio", "n_params", "ptpp"]


@dataclass(frozen=True)
class Setting:
    """Where a law is asked: one model, budget and mix. Give ``atpp`` or ``adapt_tokens``; NaN where unknown."""

    n_params: float
    ptpp: float
    replay_ratio: float
    atpp: float = float("nan")
    adapt_tokens: float = float("nan")
    zero_shot_loss: float = float("nan")
    """L0 of this checkpoint on the predicted corpus, for the forms that need it."""
    quality: float = float("nan")


@dataclass(frozen=True)
class Curve:
    """Predicted losses (nats per token) along ``axis``; ``low`` and ``high`` are percentiles of the bootstrap draws
    (NaN without any).

    The band is the parameters' uncertainty, not the scatter of a single run.
    """

    ptpp: float
    axis: ForecastAxis
    x: Floats
    loss: Floats
    low: Floats
    high: Floats
    outside: NDArray[np.bool_]
    """Where x lies beyond the fitted range of the axis."""
    extrapolation: dict[str, float]
    """Factor beyond the fitted range by symbol, where above 1."""


def points_at(role: Role, setting: Setting, **columns: Floats) -> Points:
    """Points at ``setting`` with some columns given as arrays (broadcast together); the share follows from the role."""
    wanted = {
        name: getattr(setting, name) for name in ("n_params", "ptpp", "replay_ratio", "zero_shot_loss", "quality")
    }
    wanted |= {name: np.asarray(value, dtype=np.float64) for name, value in columns.items()}
    if "adapt_tokens" in columns or ("atpp" not in columns and np.isfinite(setting.adapt_tokens)):
        wanted.setdefault("adapt_tokens", np.float64(setting.adapt_tokens))
        wanted["atpp"] = wanted["adapt_tokens"] / wanted["n_params"]
    else:
        wanted.setdefault("atpp", np.float64(setting.atpp))
        wanted["adapt_tokens"] = wanted["atpp"] * wanted["n_params"]
    wanted["share"] = share_of(role, np.asarray(wanted["replay_ratio"], dtype=np.float64))
    return Points.from_columns({**wanted, "loss": np.nan})


def share_of(role: Role, replay_ratio: Floats) -> Floats:
    """r: the share in the mix of the corpus whose loss is predicted, 1 - rho for the target and rho for the base."""
    return 1.0 - replay_ratio if role == "target" else replay_ratio


def forecast(law: Law, setting: Setting, axis: ForecastAxis, x: Sequence[float] | Floats, level: float = 0.9) -> Curve:
    """The curve of ``law`` along ``axis`` at ``x``, with a band holding ``level`` of the bootstrap draws.

    Raises LawError where the law refuses to extrapolate, or where it needs a value that ``setting`` does not give.
    """
    if not 0.0 < level < 1.0:
        raise LawError(f"A band holds a share of the draws between 0 and 1, not {level}.")
    values = np.asarray(x, dtype=np.float64)
    points = points_at(law.role, setting, **{axis: values})
    missing = [column for column in law.form.needs if not np.isfinite(getattr(points, column)).all()]
    if missing:
        raise LawError(f"{law.form.name} needs {', '.join(missing)} to forecast.", "Give its value for this model.")
    law.require_inside(points)
    loss = law.predict(points)
    low, high = band(law.predict_draws(points), level)
    symbol = next(symbol for symbol, column in RANGE_COLUMNS.items() if column == axis)
    bottom, top = law.ranges.get(symbol, (-np.inf, np.inf))
    outside = (values < bottom * (1 - 1e-9)) | (values > top * (1 + 1e-9))
    return Curve(setting.ptpp, axis, values, loss, low, high, outside, law.extrapolation(points))


def band(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Lower and upper percentile (n,) of ``draws`` (B, n), holding ``level`` of them; NaN without draws."""
    if not len(draws):
        empty = np.full(draws.shape[1], np.nan)
        return empty, empty
    tail = 50.0 * (1.0 - level)
    low, high = np.nanpercentile(draws, [tail, 100.0 - tail], axis=0)
    return low, high
