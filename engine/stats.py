"""Small-sample statistics of studies whose units are domains or documents: numpy only, deterministic by seed.

Resampling is over the units the claim is about: a correlation over domains resamples DOMAINS and permutes their
pairing; a mean difference over a test set resamples DOCUMENTS. Intervals are percentile bootstrap intervals (Efron &
Tibshirani 1993, ch. 13); permutation p-values are two-sided, exact up to ``EXACT_UP_TO`` units, Monte Carlo with the
+1 correction (Phipson & Smyth 2010) above. What cannot be computed is a result that says why, never a silent NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 2000
EXACT_UP_TO = 7
"""7! = 5,040 pairings are enumerated; above that as many are drawn as there are resamples."""
CHUNK_CELLS = 4_000_000
TIE = 1e-12
FEWEST_RESAMPLES = 20
"""Fewer usable resamples than this give no interval."""
T_QUANTILES = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139)
"""97.5 % quantiles of Student's t with 1, 2, … degrees of freedom."""

Array = NDArray[np.float64]
Statistic = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation over ``n`` units with its bootstrap interval and permutation p, or the reason why there is none.

    ``r`` is None when it is undefined; ``low`` and ``high`` are None when too few resamples vary to give an interval.
    """

    r: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    kind: str = "pearson"
    """pearson, spearman; of :mod:`engine.clustered` also within (groups) and partial (given controls)."""
    exact: bool = False
    """All pairings were enumerated; otherwise p is a Monte Carlo estimate."""
    degenerate: int = 0
    """Bootstrap resamples left out because one variable was constant in them."""
    reason: str = ""

    @property
    def sentence(self) -> str:
        """``r = .41 [−.02, .71], p = .36, n = 7``, or ``no correlation: …``."""
        if self.r is None:
            return f"no correlation: {self.reason}"
        symbol = {"spearman": "ρ", "partial": "partial r"}.get(self.kind, "r")
        interval = "" if self.low is None else f" [{format_share(self.low)}, {format_share(self.high)}]"
        return f"{symbol} = {format_share(self.r)}{interval}, p {format_p(self.p)}, n = {self.n}"


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A token-weighted mean of paired differences with its document-bootstrap interval."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    reason: str = ""


def format_share(value: float) -> str:
    """A number between −1 and 1 without its leading zero and with a real minus sign: ``−.02``, ``1.00``."""
    text = f"{abs(value):.2f}"
    sign = "−" if value < 0 and text != "0.00" else ""
    return sign + (text[1:] if text.startswith("0") else text)


def format_p(value: float) -> str:
    """``= .36``, ``= .004`` or ``< .001``."""
    if value < 0.001:
        return "< .001"
    return "= " + (f"{value:.3f}" if value < 0.095 else f"{value:.2f}").lstrip("0")


def pearson(
    x: ArrayLike, y: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Correlation:
    """Pearson's r of two series of equal length n, one value per unit."""
    return _correlate("pearson", x, y, resamples, seed, level)


def spearman(
    x: ArrayLike, y: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Correlation:
    """Spearman's ρ: Pearson's r of the ranks, ties sharing their mean rank; every resample is ranked anew."""
    return _correlate("spearman", x, y, resamples, seed, level)


def paired_bootstrap(
    delta_by_document: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> MeanDifference:
    """Mean difference over documents, each weighted by its tokens (``weights``; equal without), resampling documents.

    ``delta_by_document`` is the mean per-token difference (after − before, nats) of each document, over the same
    positions. With tokens as weights the mean is the ΔL of the whole set.
    """
    delta = np.asarray(delta_by_document, dtype=np.float64).ravel()
    weight = np.ones_like(delta) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if len(weight) != len(delta):
        raise ValueError(f"{len(delta)} differences, {len(weight)} weights")
    return bootstrap_ratios((delta * weight)[:, None], weight, resamples=resamples, seed=seed, level=level)[0]


def bootstrap_ratios(
    sums: ArrayLike, counts: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> list[MeanDifference]:
    """Mean difference Σ sum / Σ count of each column, resampling documents; every column sees the same resamples.

    ``sums`` (documents, columns): sums of differences in nats; ``counts`` (documents,): the positions that all columns
    are divided by. Documents without positions are left out.
    """
    total, count = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    keep = count > 0
    total, count = total[keep], count[keep]
    n, columns = total.shape
    if n == 0:
        return [MeanDifference(None, None, None, 0, "no document with a predicted token")] * columns
    bad = (~np.isfinite(total)).sum(axis=0)
    means = total.sum(axis=0) / count.sum()
    if n > 1:
        table = np.column_stack([np.where(np.isfinite(total), total, 0.0), count])
        drawn = np.concatenate([draws @ table for draws in _draw_counts(np.random.default_rng(seed), resamples, n)])
        ratios = drawn[:, :-1] / drawn[:, -1:]
    found = []
    for column in range(columns):
        if bad[column]:
            reason = f"{int(bad[column])} of {n} differences are not finite"
            found.append(MeanDifference(None, None, None, n, reason))
        elif n == 1:
            found.append(MeanDifference(float(means[column]), None, None, 1, "one document: no interval"))
        else:
            low, high, _ = _interval(ratios[:, column], level)
            found.append(MeanDifference(float(means[column]), low, high, n))
    return found


def t_interval(values: ArrayLike) -> MeanDifference:
    """Mean of a few independent values (one a seed) with Student's 95 % interval, mean ± t · sd / √n.

    Of so few values a percentile bootstrap gives no 95 %: of three its interval is their range, which holds the median
    of a symmetric distribution three times in four. Assumes that the values are about normal.
    """
    found = np.asarray(values, dtype=np.float64).ravel()
    n = len(found)
    if n == 0 or not np.isfinite(found).all():
        return MeanDifference(None, None, None, n, "no values" if n == 0 else "not all values are finite")
    mean = float(found.mean())
    if n == 1:
        return MeanDifference(mean, None, None, 1, "one value: no interval")
    half = t_quantile(n - 1) * float(found.std(ddof=1)) / n**0.5
    return MeanDifference(mean, mean - half, mean + half, n)


def t_quantile(df: int) -> float:
    """The 97.5 % quantile of Student's t with ``df`` degrees of freedom; above the table by its expansion about the
    normal quantile (Abramowitz & Stegun 26.7.5)."""
    if df <= len(T_QUANTILES):
        return T_QUANTILES[df - 1]
    z = 1.959963984540054
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + sum(term / df**power for power, term in enumerate(terms, 1))


def bootstrap_interval(draws: ArrayLike, level: float = LEVEL) -> tuple[float | None, float | None]:
    """Percentile interval of bootstrap draws; ``(None, None)`` with fewer than ``FEWEST_RESAMPLES`` finite ones."""
    low, high, _ = _interval(np.asarray(draws, dtype=np.float64).ravel(), level)
    return low, high


def ranks(values: ArrayLike) -> Array:
    """Ranks 1…n of a series, or of each row of a matrix; ties share their mean rank."""
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    place = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    begins = np.ones(values.shape, dtype=bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    ends = np.ones(values.shape, dtype=bool)
    ends[..., :-1] = begins[..., 1:]
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=-1)
    last = np.minimum.accumulate(np.where(ends, place, values.shape[-1])[..., ::-1], axis=-1)[..., ::-1]
    result = np.empty(values.shape)
    np.put_along_axis(result, order, (first + last) / 2 + 1, axis=-1)
    return result


def _correlate(kind: str, x: ArrayLike, y: ArrayLike, resamples: int, seed: int, level: float) -> Correlation:
    x, y = _series(x, y)
    n = len(x)
    if obstacle := _obstacle(x, y):
        return _undefined(kind, n, obstacle)
    statistic = STATISTICS[kind]
    r = float(statistic(x[None], y[None])[0])
    p, exact = _permutation_p(statistic, x, y, r, resamples, seed)
    rng = np.random.default_rng(seed)
    draws = np.concatenate([statistic(x[index], y[index]) for index in _resampled(rng, resamples, n)])
    low, high, degenerate = _interval(draws, level)
    return Correlation(r, low, high, p, n, kind, exact, degenerate)


def _series(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    if len(x) != len(y):
        raise ValueError(f"series of {len(x)} and {len(y)} values cannot be paired")
    return x, y


def _obstacle(x: Array, y: Array) -> str:
    """Why two series have no correlation, or an empty string."""
    if len(x) < 3:
        return f"{len(x)} point{'' if len(x) == 1 else 's'}, three are the fewest"
    bad = ~(np.isfinite(x) & np.isfinite(y))
    if bad.any():
        return f"{int(bad.sum())} of {len(x)} points are not finite"
    if _constant(x):
        return "x is the same at every point"
    if _constant(y):
        return "y is the same at every point"
    return ""


def _constant(values: Array) -> bool:
    """Whether what varies is no more than rounding."""
    return bool(np.ptp(values) <= TIE * np.abs(values).max())


def _undefined(kind: str, n: int, reason: str) -> Correlation:
    return Correlation(None, None, None, None, n, kind, reason=reason)


def _resampled(rng: np.random.Generator, resamples: int, n: int) -> Iterator[NDArray[np.int64]]:
    """Index matrices [rows, n] that make ``resamples`` rows in all, a bounded number of cells at a time."""
    rows = max(1, CHUNK_CELLS // n)
    for start in range(0, resamples, rows):
        yield rng.integers(0, n, size=(min(rows, resamples - start), n))


def _draw_counts(rng: np.random.Generator, resamples: int, n: int) -> Iterator[Array]:
    """How often each of ``n`` units is in a resample, [rows, n]: a sum over a resample is then a matrix product."""
    for index in _resampled(rng, resamples, n):
        rows = len(index)
        index += n * np.arange(rows)[:, None]
        yield np.bincount(index.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _interval(draws: Array, level: float) -> tuple[float | None, float | None, int]:
    usable = draws[np.isfinite(draws)]
    dropped = len(draws) - len(usable)
    if len(usable) < FEWEST_RESAMPLES:
        return None, None, dropped
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(usable, (tail, 100 - tail))
    return float(low), float(high), dropped


def _permutation_p(
    statistic: Statistic, x: Array, y: Array, observed: float, resamples: int, seed: int
) -> tuple[float, bool]:
    """Two-sided p of ``observed`` under random pairing, and whether every pairing was enumerated."""
    n = len(x)
    exact = n <= EXACT_UP_TO
    if exact:
        order = np.array(tuple(permutations(range(n))))
    else:
        order = np.random.default_rng(seed + 1).permuted(np.tile(np.arange(n), (max(resamples, 1), 1)), axis=1)
    values = statistic(np.broadcast_to(x, order.shape), y[order])
    extreme = int((np.abs(values) >= abs(observed) - TIE).sum())
    return (extreme / len(order) if exact else (extreme + 1) / (len(order) + 1)), exact


def _rows_pearson(x: Array, y: Array) -> Array:
    """Pearson's r of each row; NaN where a row of either is constant."""
    constant = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.where(constant, np.nan, np.clip(r, -1.0, 1.0))


def _rows_spearman(x: Array, y: Array) -> Array:
    return _rows_pearson(ranks(x), ranks(y))


STATISTICS: dict[str, Statistic] = {"pearson": _rows_pearson, "spearman": _rows_spearman}
