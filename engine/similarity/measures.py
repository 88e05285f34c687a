"""Measures of how far a domain's sample X lies from the reference's sample Y, in a registry.

A measure prepares what is expensive once and returns a ``Weighted`` statistic: a function of the multiplicities of the
rows of X and Y. All ones give the value; bootstrap counts give its draws, so that every measure gets its interval the
same way. Samples are of equal size: Fréchet and the measures that count tokens are biased in n, the same n keeps
domains comparable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from engine.similarity.ngrams import hash_ngrams
from store.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.float64]
Weighted = Callable[[Array, Array], Array]
"""``statistic(wx, wy)``: the values [draws] for multiplicities [draws, n] of X's rows and [draws, m] of Y's."""
POOL_ROWS = 2000
"""Rows of the pooled sample that the median pairwise distance is taken over."""
CHUNK_CELLS = 4_000_000
"""Of a matrix [draws, distinct tokens] that is held at a time."""
OVERLAP_ORDER = 2
"""Bigrams: the unigrams are what JSD compares."""


@dataclass(frozen=True)
class Scale:
    """What all domains of a job share, so that their values can be compared."""

    bandwidth: float
    """Median pairwise Euclidean distance of the pooled embeddings (RBF kernel of MMD²)."""
    seed: int


@dataclass(frozen=True)
class Measure:
    """A named measure: ``prepare(x, y, x_groups, y_groups, scale)`` returns its weighted statistic."""

    name: str
    higher_is_closer: bool
    bounds: tuple[float, float]
    reads: Literal["embedding", "tokens", "losses"]
    """Embeddings [n, dim], the windows of token ids [n, length] themselves, or mean losses of the windows [n, 1]."""
    prepare: Callable[[NDArray, NDArray, NDArray, NDArray, Scale], Weighted]
    reads_bandwidth: bool = False
    """Whether ``scale.bandwidth`` matters; it is 0 for the others, so that their values hold when a domain is added."""
    shrinks: bool = False
    """Whether resampling takes a share of the value away, and of its spread with it, rather than adding noise to it."""


def median_distance(pool: Array) -> float:
    """Median Euclidean distance between distinct rows of ``pool`` [m, dim], over at most ``POOL_ROWS`` spread rows."""
    rows = pool[np.unique(np.linspace(0, len(pool) - 1, POOL_ROWS).astype(int))] if len(pool) > POOL_ROWS else pool
    squared = squared_distances(rows, rows)[np.triu_indices(len(rows), k=1)]
    median = float(np.sqrt(np.median(squared)))
    if median == 0:
        raise DataError(
            "more than half of the sampled windows have the same embedding, MMD² has no scale",
            "Use another embedder, longer windows, or more varied text.",
        )
    return median


def squared_distances(x: Array, y: Array) -> Array:
    """Squared Euclidean distances [n, m]."""
    squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None] - 2 * x @ y.T
    return np.maximum(squared, 0.0)


def mean_product(p: Array, values: Array, q: Array) -> Array:
    """Σ p_i values_ij q_j of every draw: weights [draws, n] and [draws, m], ``values`` [n, m]."""
    return ((p @ values) * q).sum(axis=1)


def shares(weights: Array) -> Array:
    """Multiplicities [draws, n] as weights that sum to one."""
    return weights / weights.sum(axis=1, keepdims=True)


def prepare_cosine(x: Array, y: Array, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Cosine of the mean embeddings, μX·μY / (|μX||μY|); 0 when a mean vanishes."""

    def cosine(wx: Array, wy: Array) -> Array:
        a, b = wx @ x, wy @ y
        norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return np.where(norm > 0, (a * b).sum(axis=1) / np.where(norm > 0, norm, 1.0), 0.0)

    return cosine


def prepare_l2(x: Array, y: Array, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Distance of the mean embeddings, ||μX − μY||."""
    return lambda wx, wy: np.linalg.norm(shares(wx) @ x - shares(wy) @ y, axis=1)


def prepare_frechet(x: Array, y: Array, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Fréchet distance of two Gaussians, ||μX−μY||² + Tr(SX + SY − 2 (SX^½ SY SX^½)^½) (Dowson & Landau 1982).

    Refuses n < 2·dim, where the covariances are mostly noise.
    """
    n, dim = min(len(x), len(y)), x.shape[1]
    if n < 2 * dim:
        raise DataError(
            f"frechet needs at least {2 * dim} samples for embeddings of {dim} dimensions, there are {n}",
            f"Ask for {2 * dim} samples, use a smaller embedder, or mmd2, which has no such limit.",
        )

    def frechet(wx: Array, wy: Array) -> float:
        mean_x, cov_x = weighted_moments(x, wx)
        mean_y, cov_y = weighted_moments(y, wy)
        root = any_root(cov_x)
        cross = np.linalg.eigvalsh(root.T @ cov_y @ root)
        trace = np.trace(cov_x) + np.trace(cov_y) - 2 * np.sqrt(np.maximum(cross, 0.0)).sum()
        return float(((mean_x - mean_y) ** 2).sum() + trace)

    return lambda wx, wy: np.array([frechet(a, b) for a, b in zip(wx, wy, strict=True)])


def weighted_moments(x: Array, weights: Array) -> tuple[Array, Array]:
    """Mean [dim] and unbiased covariance [dim, dim] of rows counted ``weights`` times."""
    total = weights.sum()
    mean = weights @ x / total
    centred = x - mean
    return mean, (centred * weights[:, None]).T @ centred / (total - 1)


def any_root(covariance: Array) -> Array:
    """R with R Rᵀ = ``covariance``. Any root will do: RᵀSR has the eigenvalues of S·covariance."""
    try:
        return np.linalg.cholesky(covariance)  # a fifth of the time of the symmetric root
    except np.linalg.LinAlgError:  # singular: a constant feature, repeated windows
        values, vectors = np.linalg.eigh(covariance)
        return vectors * np.sqrt(np.maximum(values, 0.0))


def prepare_mmd2(x: Array, y: Array, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3), RBF kernel; may be negative.

    Pairs of one row with itself are left out, copies made by the bootstrap included: else every draw is biased upwards.
    """
    gamma = 1 / (2 * scale.bandwidth**2)
    kxx, kyy = np.exp(-gamma * squared_distances(x, x)), np.exp(-gamma * squared_distances(y, y))
    kxy = np.exp(-gamma * squared_distances(x, y))

    def within(kernel: Array, w: Array) -> Array:
        squares = w * w
        return (mean_product(w, kernel, w) - squares @ np.diag(kernel)) / (w.sum(axis=1) ** 2 - squares.sum(axis=1))

    return lambda wx, wy: within(kxx, wx) + within(kyy, wy) - 2 * mean_product(shares(wx), kxy, shares(wy))


def prepare_jsd(x: NDArray, y: NDArray, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Jensen–Shannon divergence of the unigram token distributions in bits: H((p+q)/2) − (H(p)+H(q))/2, in [0, 1]."""
    return over_distributions(
        *count_codes(x, y),
        lambda p, q: entropy_bits((p + q) / 2) - (entropy_bits(p) + entropy_bits(q)) / 2,
    )


def prepare_ngram_overlap(x: NDArray, y: NDArray, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Shared mass of the bigram distributions, Σ min(p, q) = 1 − total variation distance, in [0, 1]."""
    codes = (hash_ngrams(windows, OVERLAP_ORDER) for windows in (x, y))
    return over_distributions(*count_codes(*codes), lambda p, q: np.minimum(p, q).sum(axis=1))


def count_codes(x: NDArray, y: NDArray) -> tuple[csr_array, csr_array]:
    """How often each of the k codes in either [n, length] array occurs in each row: sparse [n, k] and [m, k]."""
    from scipy.sparse import csr_array

    _, column = np.unique(np.concatenate([x.ravel(), y.ravel()]), return_inverse=True)
    width = int(column.max()) + 1 if len(column) else 0

    def table(codes: NDArray, columns: NDArray) -> csr_array:
        rows = np.repeat(np.arange(len(codes)), codes.shape[1])
        return csr_array((np.ones(len(columns)), (rows, columns)), shape=(len(codes), width))

    return table(x, column[: x.size]), table(y, column[x.size :])


def over_distributions(x: csr_array, y: csr_array, compare: Callable[[Array, Array], Array]) -> Weighted:
    """A statistic of two distributions over the same codes: ``compare(p, q)`` [draws] of p and q [draws, codes]."""
    chunk = max(1, CHUNK_CELLS // max(x.shape[1], 1))

    def distributions(counts: csr_array, weights: Array) -> Array:
        return shares((counts.T @ weights.T).T)

    def statistic(wx: Array, wy: Array) -> Array:
        parts = [slice(start, start + chunk) for start in range(0, len(wx), chunk)]
        return np.concatenate([compare(distributions(x, wx[part]), distributions(y, wy[part])) for part in parts])

    return statistic


def entropy_bits(p: Array) -> Array:
    """Shannon entropies in bits of distributions [draws, codes]."""
    return -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=1)


def prepare_c2st(x: Array, y: Array, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Classifier two-sample test: out-of-fold accuracy of a logistic probe, X against Y; .5 = not told apart.

    The mean of both sides' accuracies, so that .5 is chance whatever their sizes (Lopez-Paz & Oquab 2017).
    """
    from engine.similarity.probe import cross_validate

    probes = cross_validate(x, y, gx, gy, seed=scale.seed)

    def accuracy(wx: Array, wy: Array) -> Array:
        correct = probes.correct(np.hstack([wx, wy]))
        sides = (wx, correct[:, : len(x)]), (wy, correct[:, len(x) :])
        return sum((w * own).sum(axis=1) / w.sum(axis=1) for w, own in sides) / 2

    return accuracy


def prepare_zero_shot(x: Array, y: Array, gx: NDArray, gy: NDArray, scale: Scale) -> Weighted:
    """Mean loss of the base model on X, nats/token; windows are equally long. The reference has no part in it."""
    return lambda wx, wy: shares(wx) @ x[:, 0]


INFINITE = float("inf")
REGISTRY: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("cosine", True, (-1.0, 1.0), "embedding", prepare_cosine),
        Measure("l2", False, (0.0, INFINITE), "embedding", prepare_l2),
        Measure("frechet", False, (0.0, INFINITE), "embedding", prepare_frechet),
        Measure("mmd2", False, (-INFINITE, INFINITE), "embedding", prepare_mmd2, reads_bandwidth=True),
        Measure("c2st", False, (0.0, 1.0), "embedding", prepare_c2st),
        Measure("jsd", False, (0.0, 1.0), "tokens", prepare_jsd),
        Measure("ngram_overlap", True, (0.0, 1.0), "tokens", prepare_ngram_overlap, shrinks=True),
    )
}
ZERO_SHOT = Measure("zero_shot", False, (0.0, INFINITE), "losses", prepare_zero_shot)
"""Apart from the others: ΔL contains minus this loss, so the two are correlated by construction."""
