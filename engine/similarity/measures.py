"""Measures of how far a domain's sample X lies from the reference's sample Y, in a registry.

A measure prepares what is expensive once and returns a ``Weighted`` statistic: a function of the multiplicities of the
rows of X and Y. All ones give the value; bootstrap counts give its draws, so that every measure gets its interval the
same way. Samples are of equal size: Fréchet and JSD are biased in n, the same n keeps domains comparable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError

Array = NDArray[np.float64]
Weighted = Callable[[Array, Array], float]
POOL_ROWS = 2000
"""Rows of the pooled sample that the median pairwise distance is taken over."""


@dataclass(frozen=True)
class Scale:
    """What all domains of a job share, so that their values can be compared."""

    bandwidth: float
    """Median pairwise Euclidean distance of the pooled embeddings (RBF kernel of MMD²)."""
    vocab_size: int
    seed: int


@dataclass(frozen=True)
class Measure:
    """A named measure: ``prepare(x, y, x_groups, y_groups, scale)`` returns its weighted statistic."""

    name: str
    higher_is_closer: bool
    bounds: tuple[float, float]
    reads: Literal["embedding", "tokens"]
    """Embeddings [n, dim], or the windows of token ids [n, length] themselves."""
    prepare: Callable[[NDArray, NDArray, NDArray, NDArray, Scale], Weighted]


def median_distance(pool: Array) -> float:
    """Median Euclidean distance between distinct rows of ``pool`` [m, dim], over at most ``POOL_ROWS`` spread rows."""
    rows = pool[np.unique(np.linspace(0, len(pool) - 1, POOL_ROWS).astype(int))] if len(pool) > POOL_ROWS else pool
    squared = squared_distances(rows, rows)[np.triu_indices(len(rows), k=1)]
    median = float(np.sqrt(np.median(squared)))
    if median == 0:
        raise DataError(
            "more than half of the sampled windows have the same embedding, MMD² has no scale",
            "Use another embedder, longer windows (`sample_tokens`), or more varied text.",
        )
    return median


def squared_distances(x: Array, y: Array) -> Array:
    """Squared Euclidean distances [n, m]."""
    squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None] - 2 * x @ y.T
    return np.maximum(squared, 0.0)


def prepare_cosine(x: Array, y: Array, gx: Array, gy: Array, scale: Scale) -> Weighted:
    """Cosine of the mean embeddings, μX·μY / (|μX||μY|); 0 when a mean vanishes."""

    def cosine(wx: Array, wy: Array) -> float:
        a, b = wx @ x, wy @ y
        norm = np.linalg.norm(a) * np.linalg.norm(b)
        return float(a @ b / norm) if norm > 0 else 0.0

    return cosine


def prepare_l2(x: Array, y: Array, gx: Array, gy: Array, scale: Scale) -> Weighted:
    """Distance of the mean embeddings, ||μX − μY||."""
    return lambda wx, wy: float(np.linalg.norm(wx @ x / wx.sum() - wy @ y / wy.sum()))


def prepare_frechet(x: Array, y: Array, gx: Array, gy: Array, scale: Scale) -> Weighted:
    """Fréchet distance of two Gaussians, ||μX−μY||² + Tr(SX + SY − 2 (SX^½ SY SX^½)^½) (Dowson & Landau 1982).

    Refuses n < 2·dim, where the covariances are mostly noise.
    """
    n, dim = min(len(x), len(y)), x.shape[1]
    if n < 2 * dim:
        raise DataError(
            f"frechet needs at least {2 * dim} samples for embeddings of {dim} dimensions, there are {n}",
            f"Set `samples: {2 * dim}`, use a smaller embedder, or mmd2, which has no such limit.",
        )

    def frechet(wx: Array, wy: Array) -> float:
        mean_x, cov_x = weighted_moments(x, wx)
        mean_y, cov_y = weighted_moments(y, wy)
        values, vectors = np.linalg.eigh(cov_x)
        root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
        cross = np.linalg.eigvalsh(root @ cov_y @ root)
        trace = np.trace(cov_x) + np.trace(cov_y) - 2 * np.sqrt(np.maximum(cross, 0.0)).sum()
        return float(((mean_x - mean_y) ** 2).sum() + trace)

    return frechet


def weighted_moments(x: Array, weights: Array) -> tuple[Array, Array]:
    """Mean [dim] and unbiased covariance [dim, dim] of rows counted ``weights`` times."""
    total = weights.sum()
    mean = weights @ x / total
    centred = x - mean
    return mean, (centred * weights[:, None]).T @ centred / (total - 1)


def prepare_mmd2(x: Array, y: Array, gx: Array, gy: Array, scale: Scale) -> Weighted:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3), RBF kernel; may be negative.

    Pairs of one row with itself are left out, copies made by the bootstrap included: else every draw is biased upwards.
    """
    gamma = 1 / (2 * scale.bandwidth**2)
    kxx, kyy = np.exp(-gamma * squared_distances(x, x)), np.exp(-gamma * squared_distances(y, y))
    kxy = np.exp(-gamma * squared_distances(x, y))

    def within(kernel: Array, w: Array) -> float:
        return float((w @ kernel @ w - w * w @ np.diag(kernel)) / (w.sum() ** 2 - w @ w))

    def mmd2(wx: Array, wy: Array) -> float:
        return within(kxx, wx) + within(kyy, wy) - 2 * float(wx @ kxy @ wy) / (wx.sum() * wy.sum())

    return mmd2


def prepare_jsd(x: NDArray, y: NDArray, gx: Array, gy: Array, scale: Scale) -> Weighted:
    """Jensen–Shannon divergence of the unigram token distributions in bits: H((p+q)/2) − (H(p)+H(q))/2, in [0, 1]."""

    def distribution(windows: NDArray, weights: Array) -> Array:
        repeated = np.repeat(weights, windows.shape[1])
        counts = np.bincount(windows.ravel(), weights=repeated, minlength=scale.vocab_size)
        return counts / counts.sum()

    def jsd(wx: Array, wy: Array) -> float:
        p, q = distribution(x, wx), distribution(y, wy)
        return entropy_bits((p + q) / 2) - (entropy_bits(p) + entropy_bits(q)) / 2

    return jsd


def entropy_bits(p: Array) -> float:
    """Shannon entropy in bits."""
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def prepare_c2st(x: Array, y: Array, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Classifier two-sample test: out-of-fold accuracy of a logistic probe, X against Y; .5 = not told apart."""
    from engine.similarity.probe import cross_validated_correct

    correct_x, correct_y = cross_validated_correct(x, y, gx, gy, seed=scale.seed)
    return lambda wx, wy: float((wx @ correct_x / wx.sum() + wy @ correct_y / wy.sum()) / 2)


INFINITE = float("inf")
REGISTRY: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("cosine", True, (-1.0, 1.0), "embedding", prepare_cosine),
        Measure("l2", False, (0.0, INFINITE), "embedding", prepare_l2),
        Measure("frechet", False, (0.0, INFINITE), "embedding", prepare_frechet),
        Measure("mmd2", False, (-INFINITE, INFINITE), "embedding", prepare_mmd2),
        Measure("c2st", False, (0.0, 1.0), "embedding", prepare_c2st),
        Measure("jsd", False, (0.0, 1.0), "tokens", prepare_jsd),
    )
}
