"""How well a law predicts: scores on held-out points, with e = ln Lhat - ln L."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from engine.laws.errors import LawError
from engine.laws.huber import huber
from engine.laws.points import Floats, Points


@dataclass(frozen=True)
class Scores:
    """All on the same n points. Calibration regresses observed on predicted, in nats (ideal slope 1, intercept 0)."""

    n: int
    huber_log: float
    """Mean Huber(e, delta)."""
    rmse: float
    """Nats per token."""
    mape: float
    """100 * mean(abs(Lhat - L) / L), in percent."""
    mae_rel_mean: float
    """mean(abs(Lhat - L) / L): one reading of "MAE_rel"."""
    mae_rel_sum: float
    """sum(abs(Lhat - L)) / sum(L): the other reading."""
    slope: float
    intercept: float
    r2: float

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: what is undefined (a slope through one value) is None."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


def score(predicted: Floats, observed: Floats, delta: float = 1e-3) -> Scores:
    """Scores of ``predicted`` against ``observed`` losses (n,), nats per token; a LawError when there is no point."""
    if not len(observed):
        raise LawError("There is no held-out point to score.", "Choose PTPP values that were measured and not fitted.")
    error = predicted - observed
    relative = np.abs(error) / observed
    with np.errstate(invalid="ignore", divide="ignore"):
        slope, intercept = _regress(predicted, observed)
        spread = np.sum((observed - observed.mean()) ** 2)
        r2 = 1.0 - np.sum(error**2) / spread if spread > 0 else np.nan
        huber_log = float(np.mean(huber(np.log(predicted) - np.log(observed), delta)))
    return Scores(
        n=len(observed),
        huber_log=huber_log,
        rmse=float(np.sqrt(np.mean(error**2))),
        mape=float(100.0 * relative.mean()),
        mae_rel_mean=float(relative.mean()),
        mae_rel_sum=float(np.sum(np.abs(error)) / np.sum(observed)),
        slope=slope,
        intercept=intercept,
        r2=float(r2),
    )


def corrected_aic(residuals: Floats, n_free: int) -> float:
    """AICc of log residuals (n,) read as Laplace noise of unknown scale, as the Huber sum nearly does; lower is better.

    2 k + 2 n (1 + ln(2 mean|e|)) + 2 k (k + 1) / (n - k - 1), k = ``n_free`` + 1 (the scale). NaN without degrees of
    freedom. Points of one run are not independent, so small differences mean nothing.
    """
    n, k = len(residuals), n_free + 1
    scale = float(np.mean(np.abs(residuals)))
    if n - k - 1 <= 0 or scale <= 0:
        return float("nan")
    return float(2 * k + 2 * n * (1 + np.log(2 * scale)) + 2 * k * (k + 1) / (n - k - 1))


def _regress(x: Floats, y: Floats) -> tuple[float, float]:
    """Least-squares slope and intercept of y on x; NaN when x has no spread."""
    deviation = x - x.mean()
    spread = float(np.sum(deviation**2))
    if spread <= (1e-9 * max(abs(float(x.mean())), 1e-300)) ** 2 * len(x):
        return float("nan"), float("nan")
    slope = float(np.sum(deviation * (y - y.mean())) / spread)
    return slope, float(y.mean() - slope * x.mean())


def shift_by_zero_shot(predicted: Floats, points: Points, fitted: Points) -> Floats:
    """The fair baseline for a law blind to P: its prediction moved by how far L0 of the new checkpoint is from the
    fitted ones.

    The reference is the mean L0 of the fitted checkpoints of the same size (interpolated in ln N between sizes). NaN
    where no L0 is known.
    """
    known = np.isfinite(fitted.zero_shot_loss)
    if not known.any():
        return np.full(len(points), np.nan)
    sizes, member = np.unique(np.log(fitted.n_params[known]), return_inverse=True)
    checkpoints = np.unique(np.stack([member.astype(float), fitted.zero_shot_loss[known]]), axis=1)
    reference = np.array([checkpoints[1, checkpoints[0] == index].mean() for index in range(len(sizes))])
    return predicted + points.zero_shot_loss - np.interp(np.log(points.n_params), sizes, reference)
