"""Correlations of points that come in clusters: several models measured on the same domains, domains in groups.

A point is one (domain, model). Points of one domain are not independent of each other, so the bootstrap draws whole
DOMAINS with all their points, the permutation moves whole domains, and n is the number of domains. The means of models
and groups, and controls, are taken out by least squares: what is left is the partial correlation given their dummies
(Frisch & Waugh 1933). Permutations move residuals (Kennedy 1995), and domains only within their group where groups are
taken out, for only there are they exchangeable; every resample is fitted anew. One model without groups and controls
gives the numbers of :mod:`engine.stats`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations, product
from math import factorial, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.stats import (
    EXACT_UP_TO,
    LEVEL,
    RESAMPLES,
    TIE,
    Array,
    Correlation,
    bootstrap_interval,
    pearson,
    ranks,
    spearman,
)

EXPLAINED = 1e-10
"""A residual sum of squares below this share of the standardised one is rounding."""
_COUNT_WORDS = {3: "three are", 4: "four are", 5: "five are", 6: "six are"}


@dataclass(frozen=True, slots=True)
class Influence:
    """What the correlation would be without one domain; ``r`` is None where it would be undefined."""

    index: int
    r: float | None
    change: float | None
    """``r`` without the domain minus ``r`` with all of them."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The points of a correlation, and what is taken out of them.

    ``x``, ``y``: [domains, models], or [domains] of one model; NaN where a model has no point. ``groups``: one per
    domain; within them only, domains are compared. ``controls``: [domains, models, k], [domains, k] or [domains].
    ``by_model``: every model has a mean of its own. ``x_name`` and ``y_name`` are for sentences. Raises ValueError for
    shapes that do not go together.
    """

    x: ArrayLike
    y: ArrayLike
    groups: Sequence[Hashable] | None = None
    controls: ArrayLike | None = None
    by_model: bool = True
    x_name: str = "x"
    y_name: str = "y"

    def __post_init__(self) -> None:
        x, y = self.points
        if x.shape != y.shape:
            raise ValueError(f"points of shapes {x.shape} and {y.shape} cannot be paired")
        if self.groups is not None and len(self.groups) != len(x):
            raise ValueError(f"{len(self.groups)} groups for {len(x)} domains")

    @cached_property
    def points(self) -> tuple[Array, Array]:
        """x and y, both [domains, models]."""
        x, y = (np.asarray(values, dtype=np.float64) for values in (self.x, self.y))
        return (x[:, None] if x.ndim == 1 else x), (y[:, None] if y.ndim == 1 else y)

    @cached_property
    def z(self) -> Array:
        """The controls, [domains, models, k]."""
        domains, models = self.points[0].shape
        if self.controls is None:
            return np.empty((domains, models, 0))
        given = np.asarray(self.controls, dtype=np.float64)
        spread = given.reshape(domains, 1, -1) if given.ndim < 3 else given
        return np.broadcast_to(spread, (domains, models, spread.shape[2]))

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """[domains, models]: where there is a point with its controls, in a group that has another domain."""
        x, y = self.points
        whole = np.isfinite(x) & np.isfinite(y) & np.isfinite(self.z).all(axis=2)
        if self.groups is None:
            return whole
        held = [group for group, there in zip(self.groups, whole.any(axis=1), strict=True) if there]
        return whole & np.array([held.count(group) > 1 for group in self.groups], dtype=bool)[:, None]

    @cached_property
    def group_numbers(self) -> NDArray[np.int64]:
        """The number of each domain's group, 0 without groups."""
        names = self.groups if self.groups is not None else [0] * len(self.points[0])
        order = list(dict.fromkeys(names))
        return np.array([order.index(name) for name in names], dtype=np.int64)

    @property
    def n(self) -> int:
        """Domains with a point."""
        return int(self.present.any(axis=1).sum())

    @property
    def fewest(self) -> int:
        """Domains that a correlation takes: two more than groups and controls, which leaves one degree of freedom."""
        there = self.group_numbers[self.present.any(axis=1)]
        return self.z.shape[2] + max(1, len(set(there.tolist()))) + 2

    def kept(self) -> Sample:
        """Without the domains and models that have no point; in the others missing points are NaN."""
        rows, columns = self.present.any(axis=1), self.present.any(axis=0)
        x, y = (np.where(self.present, values, np.nan)[rows][:, columns] for values in self.points)
        groups = None if self.groups is None else [g for g, keep in zip(self.groups, rows, strict=True) if keep]
        return replace(self, x=x, y=y, groups=groups, controls=self.z[rows][:, columns])

    def ranked(self) -> Sample:
        """Ranks within each model and group instead of the values; ties share their mean rank."""

        def rank(values: Array) -> Array:
            ranked = np.full(values.shape, np.nan)
            for cell in _cells(self):
                ranked[cell] = ranks(values[cell])
            return ranked

        x, y = self.points
        return replace(self, x=rank(x), y=rank(y))


def correlate(
    sample: Sample, *, kind: str = "pearson", resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Correlation:
    """The correlation over the domains of a sample, or the reason why there is none.

    ``kind`` spearman ranks within each model and group; of several models (groups, with controls) the ranks stay those
    of the whole sample in every resample. Points that are not finite are left out; the caller says which.
    """
    sample = sample.kept()
    controlled = sample.z.shape[2] > 0
    name = kind if kind == "spearman" else "partial" if controlled else "within" if sample.groups is not None else kind
    if sample.n < sample.fewest:
        what = f"{sample.n} domain{'' if sample.n == 1 else 's'}"
        reason = f"{what}, {_COUNT_WORDS.get(sample.fewest, f'{sample.fewest} are')} the fewest"
        if sample.groups == []:
            reason = "no group holds two domains"
        return Correlation(None, None, None, None, sample.n, name, reason=reason)
    if sample.points[0].shape[1] == 1 and sample.groups is None and not controlled:
        x, y = (values[:, 0] for values in sample.points)
        plain = (spearman if kind == "spearman" else pearson)(x, y, resamples=resamples, seed=seed, level=level)
        return plain if plain.r is not None else replace(plain, reason=_say_constant(sample, "at every point"))
    fitted = _Fitted(sample.ranked() if kind == "spearman" else sample)
    if fitted.obstacle:
        return Correlation(None, None, None, None, sample.n, name, reason=fitted.obstacle)
    r = float(fitted.weighted(np.ones((1, sample.n)))[0])
    draws = fitted.weighted(_draw(sample, resamples, seed))
    low, high = bootstrap_interval(draws, level)
    p, exact = _permutation_p(fitted, sample, r, resamples, seed)
    return Correlation(r, low, high, p, sample.n, name, exact, int((~np.isfinite(draws)).sum()))


def leave_one_out(sample: Sample) -> tuple[Influence, ...]:
    """Pearson's correlation without each domain in turn: one ``Influence`` per domain of the sample, in its order.

    ``r`` is None for a domain that has no point, and where it would be undefined without the domain.
    """
    kept = sample.kept()
    rows = np.flatnonzero(sample.present.any(axis=1))
    found = [Influence(i, None, None) for i in range(len(sample.points[0]))]
    fitted = _Fitted(kept) if kept.n > kept.fewest else None
    if fitted is None or fitted.obstacle:
        return tuple(found)
    everything, *without = fitted.weighted(np.vstack([np.ones(kept.n), 1.0 - np.eye(kept.n)])).tolist()
    for row, r in zip(rows.tolist(), without, strict=True):
        if np.isfinite(r):
            found[row] = Influence(row, r, r - everything)
    return tuple(found)


def fit_line(
    sample: Sample, at: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> tuple[Array, Array, Array] | None:
    """Least-squares line through all points and its pointwise band at ``at``: ``(low, mid, high)``, each of its shape.

    The band is the percentile bootstrap over domains. Nothing is taken out: it is the line that the points show. None
    where x does not vary, or with fewer than three domains.
    """
    sample = replace(sample, groups=None, controls=None).kept()
    at = np.asarray(at, dtype=np.float64)
    if sample.n < 3 or _constant(sample.points[0][sample.present]):
        return None
    x, y = sample.points
    centre, scale = _location(x[sample.present])
    x, here = (x - centre) / scale, (at.ravel() - centre) / scale
    weights = np.vstack([np.ones((1, sample.n)), _draw(sample, resamples, seed)])
    moments = (np.where(sample.present, part, 0.0).sum(axis=1) for part in (np.ones_like(x), x, y, x * x, x * y))
    n, sx, sy, sxx, sxy = (weights @ moment for moment in moments)
    spread = n * sxx - sx * sx
    usable = spread > EXPLAINED * n * n
    slope = (n * sxy - sx * sy)[usable] / spread[usable]
    intercept = (sy[usable] - slope * sx[usable]) / n[usable]
    lines = intercept[:, None] + slope[:, None] * here
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(lines[1:], (tail, 100 - tail), axis=0)
    return low.reshape(at.shape), lines[0].reshape(at.shape), high.reshape(at.shape)


class _Fitted:
    """x and y of a sample with all that is to be taken out: the correlation of weighted and of permuted domains."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        present, k = sample.present, sample.z.shape[2]
        values = [*(sample.z[:, :, i] for i in range(k)), *sample.points]
        # Controls, x and y, standardised, each cell's mean taken out: [domains, models, k + 2].
        columns = np.dstack([_standard(value, present) for value in values])
        cells = _cells(sample)
        for cell in cells:
            columns[cell] -= columns[cell].mean(axis=0)
        fit = np.linalg.lstsq(columns[present][:, :k], columns[present][:, k:], rcond=None)[0]
        rest = columns[:, :, k:] - columns[:, :, :k] @ fit
        self._x, self._y = rest[:, :, 0], rest[:, :, 1]
        # A weighting of domains needs no more than weighted sums of these: per domain and cell, and per domain.
        masks = np.stack(cells, axis=2).astype(float)
        self._counts = masks.sum(axis=1)
        self._sums = np.einsum("dmi,dmc->dci", columns, masks)
        self._products = np.einsum("dmi,dmj->dij", columns, columns)
        self._k = k
        self.obstacle = self._find_obstacle(explained_by_controls=k > 0)

    def weighted(self, weights: Array) -> Array:
        """The correlation for each row of ``weights`` [rows, domains]; NaN where it is undefined."""
        k, size = self._k, self._k + 2
        counts = weights @ self._counts
        sums = (weights @ self._sums.reshape(len(self._sums), -1)).reshape(len(weights), -1, size)
        scatter = (weights @ self._products.reshape(len(self._products), -1)).reshape(-1, size, size)
        # Each weighting has cell means of its own.
        scatter -= np.einsum("rci,rcj->rij", sums / np.maximum(counts, 1.0)[:, :, None], sums)
        rest = scatter[:, k:, k:]
        if k:
            across = scatter[:, :k, k:]
            inverse = np.linalg.pinv(scatter[:, :k, :k], rcond=1e-9, hermitian=True)
            rest = rest - np.swapaxes(across, 1, 2) @ inverse @ across
        sxx, syy, sxy = rest[:, 0, 0], rest[:, 1, 1], rest[:, 0, 1]
        floor = EXPLAINED * counts.sum(axis=1)
        usable = (sxx > floor) & (syy > floor) & ((weights > 0).sum(axis=1) >= self._sample.fewest)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(usable, np.clip(sxy / np.sqrt(sxx * syy), -1.0, 1.0), np.nan)

    def permuted(self, order: NDArray[np.int64]) -> Array:
        """The correlation of the residuals when domain d takes the y of domain ``order[:, d]``.

        Where a model lacks one of the two, the pair is left out.
        """
        mx, my = (np.isfinite(points).astype(float) for points in self._sample.points)
        here = np.arange(order.shape[1])
        pairs = (self._x @ self._y.T, self._x**2 @ my.T, mx @ (self._y**2).T)
        sxy, sxx, syy = (matrix[here, order].sum(axis=1) for matrix in pairs)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(sxx * syy > 0, sxy / np.sqrt(sxx * syy), 0.0)

    def _find_obstacle(self, *, explained_by_controls: bool) -> str:
        sample = self._sample
        if constant := _say_constant(sample, "at every point"):
            return constant
        for name, rest in ((sample.x_name, self._x), (sample.y_name, self._y)):
            if (rest**2).sum() <= EXPLAINED * sample.present.sum():
                if explained_by_controls:
                    return f"the controls explain all of {name}"
                return f"{name} is the same within every {'model' if sample.groups is None else 'group'}"
        return ""


def _cells(sample: Sample) -> list[NDArray[np.bool_]]:
    """[domains, models] of each part that has a mean of its own: model and group, or group alone."""
    _, models = sample.points[0].shape
    found = []
    for group in np.unique(sample.group_numbers):
        rows = (sample.group_numbers == group)[:, None] & sample.present
        columns = [np.arange(models) == m for m in range(models)] if sample.by_model else [np.ones(models, bool)]
        found += [rows & column for column in columns]
    return [cell for cell in found if cell.any()]


def _location(values: Array) -> tuple[float, float]:
    """Mean and standard deviation, 1 where nothing varies."""
    return float(values.mean()), float(values.std()) or 1.0


def _standard(values: Array, present: NDArray[np.bool_]) -> Array:
    centre, scale = _location(values[present])
    return np.where(present, (values - centre) / scale, 0.0)


def _constant(values: Array) -> bool:
    """Whether what varies is no more than rounding."""
    return bool(np.ptp(values) <= TIE * np.abs(values).max())


def _say_constant(sample: Sample, where: str) -> str:
    for name, points in zip((sample.x_name, sample.y_name), sample.points, strict=True):
        if _constant(points[sample.present]):
            return f"{name} is the same {where}"
    return ""


def _draw(sample: Sample, resamples: int, seed: int) -> Array:
    """How often each domain is drawn in each resample, within its group where there are groups: [resamples, n]."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, sample.n))
    for group in np.unique(sample.group_numbers):
        members = np.flatnonzero(sample.group_numbers == group)
        drawn = members[rng.integers(0, len(members), size=(resamples, len(members)))]
        np.add.at(counts, (np.arange(resamples)[:, None], drawn), 1.0)
    return counts


def _permutation_p(fitted: _Fitted, sample: Sample, observed: float, resamples: int, seed: int) -> tuple[float, bool]:
    """Two-sided p of ``observed``, and whether every permutation was enumerated."""
    groups = [np.flatnonzero(sample.group_numbers == group) for group in np.unique(sample.group_numbers)]
    exact = prod(factorial(len(members)) for members in groups) <= factorial(EXACT_UP_TO)
    if exact:
        choices = list(product(*(list(permutations(members.tolist())) for members in groups)))
        order = np.empty((len(choices), sample.n), dtype=np.int64)
        for number, members in enumerate(groups):
            order[:, members] = [choice[number] for choice in choices]
    else:
        rng = np.random.default_rng(seed + 1)
        order = np.tile(np.arange(sample.n), (max(resamples, 1), 1))
        for members in groups:
            order[:, members] = rng.permuted(order[:, members], axis=1)
    extreme = int((np.abs(fitted.permuted(order)) >= abs(observed) - TIE).sum())
    return (extreme / len(order) if exact else (extreme + 1) / (len(order) + 1)), exact
