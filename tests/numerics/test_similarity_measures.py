from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.spatial.distance
import scipy.special

from engine.similarity.estimate import estimate
from engine.similarity.measures import REGISTRY, ZERO_SHOT, Scale, any_root, median_distance, squared_distances
from engine.similarity.names import find
from engine.similarity.probe import RIDGE, assign_folds, fit, solve_dual, solve_primal
from store.errors import ConfigError, DataError

SCALE = Scale(bandwidth=2.0, seed=0)


def value(name: str, x, y, scale: Scale = SCALE, groups=None) -> float:
    gx = np.arange(len(x)) if groups is None else groups
    return estimate(REGISTRY[name], x, y, gx, np.arange(len(y)), scale, resamples=0).value


def multiplicities(draws: int, n: int, rng) -> np.ndarray:
    return np.array([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(draws)], dtype=float)


@pytest.fixture
def gaussians() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((400, 5)), 1.5 * rng.standard_normal((400, 5)) + 0.7


def test_cosine_and_l2_equal_their_formulas(gaussians) -> None:
    x, y = gaussians
    a, b = x.mean(axis=0), y.mean(axis=0)
    assert value("cosine", x, y) == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)))
    assert value("l2", x, y) == pytest.approx(np.sqrt(((a - b) ** 2).sum()))
    assert value("cosine", np.zeros((9, 2)), np.ones((9, 2))) == 0.0


def test_frechet_of_diagonal_samples_has_a_closed_form() -> None:
    """Columns made exactly orthogonal: covariances are diagonal and FD = Σ (Δμ)² + (σ1 − σ2)²."""
    basis = np.linalg.qr(np.column_stack([np.ones(64), np.random.default_rng(1).standard_normal((64, 4))]))[0][:, 1:]
    unit = basis * np.sqrt(63)
    s1, s2, shift = np.array([1.0, 2.0, 0.5, 3.0]), np.array([1.5, 0.1, 0.5, 4.0]), np.array([0.3, -1.0, 0.0, 2.0])
    expected = (shift**2).sum() + ((s1 - s2) ** 2).sum()
    assert value("frechet", unit * s1, unit * s2 + shift) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_correlated_samples_is_that_of_the_matrix_root(gaussians) -> None:
    """With scipy's root of the unsymmetric product, as published implementations of FID have it."""
    mix = np.random.default_rng(2).standard_normal((5, 5))
    x, y = gaussians[0] @ mix, gaussians[1]
    sx, sy = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(sx + sy - 2 * scipy.linalg.sqrtm(sx @ sy).real)
    assert value("frechet", x, y) == pytest.approx(expected, rel=1e-8)
    assert value("frechet", x, x) == pytest.approx(0.0, abs=1e-6)


def test_frechet_of_singular_covariances(gaussians) -> None:
    """A feature that never varies adds its squared shift and nothing else."""
    x, y = gaussians
    still = [np.column_stack([part, np.full(len(part), shift)]) for part, shift in ((x, 1.0), (y, 3.0))]
    assert value("frechet", *still) == pytest.approx(value("frechet", x, y) + 4.0, rel=1e-9)
    singular = np.diag([2.0, 0.0, 3.0])
    assert any_root(singular) @ any_root(singular).T == pytest.approx(singular)


def test_frechet_refuses_too_few_samples() -> None:
    with pytest.raises(DataError, match="at least 20 samples"):
        value("frechet", np.zeros((19, 10)), np.zeros((19, 10)))


def test_mmd2_equals_the_double_loop() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 3)) + 0.5

    def k(a, b) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * SCALE.bandwidth**2)))

    xx = np.mean([k(x[i], x[j]) for i in range(7) for j in range(7) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert value("mmd2", x, y) == pytest.approx(xx + yy - 2 * xy, abs=1e-12)


def test_mmd2_is_unbiased_and_so_is_its_bootstrap() -> None:
    rng = np.random.default_rng(4)
    values, middles = [], []
    for _ in range(200):
        x, y = rng.standard_normal((2, 20, 3))
        values.append(value("mmd2", x, y))
        statistic = REGISTRY["mmd2"].prepare(x, y, np.arange(20), np.arange(20), SCALE)
        middles.append(np.mean(statistic(*(multiplicities(20, 20, rng) for _ in "xy"))))
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert min(values) < 0
    assert abs(np.mean(middles) - np.mean(values)) < 4 * error


def test_mmd2_grows_with_the_shift() -> None:
    x = np.random.default_rng(5).standard_normal((100, 4))
    y = np.random.default_rng(6).standard_normal((100, 4))
    values = [value("mmd2", x, y + shift) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)


def test_jsd_bounds_symmetry_and_a_hand_value() -> None:
    a, b = np.array([[0, 0, 1, 1]] * 3), np.array([[2, 3, 2, 3]] * 3)
    assert value("jsd", a, a) == pytest.approx(0.0, abs=1e-12)
    assert value("jsd", a, b) == pytest.approx(1.0)
    half = np.array([[0, 0, 2, 2]] * 3)
    p, q, m = np.array([0.5, 0.5, 0]), np.array([0.5, 0, 0.5]), np.array([0.5, 0.25, 0.25])
    by_kl = sum(0.5 * (r[r > 0] * np.log2(r[r > 0] / m[r > 0])).sum() for r in (p, q))
    assert value("jsd", a, half) == pytest.approx(by_kl)
    assert value("jsd", half, a) == pytest.approx(by_kl)


def test_jsd_is_the_square_of_scipys_distance() -> None:
    rng = np.random.default_rng(14)
    a, b = rng.zipf(1.5, (40, 20)) % 60, rng.zipf(1.8, (40, 20)) % 60
    p, q = (np.bincount(windows.ravel(), minlength=60) for windows in (a, b))
    assert value("jsd", a, b) == pytest.approx(scipy.spatial.distance.jensenshannon(p, q, base=2) ** 2)
    # Token ids are names: any other numbering gives the same.
    names = rng.integers(0, 2**62, 60)
    assert value("jsd", names[a], names[b]) == pytest.approx(value("jsd", a, b))


def test_ngram_overlap_is_the_shared_mass_of_bigrams() -> None:
    rng = np.random.default_rng(15)
    a, b = rng.integers(0, 6, (10, 8)), rng.integers(2, 8, (10, 8))
    p, q = (Counter(pair for row in windows.tolist() for pair in itertools.pairwise(row)) for windows in (a, b))
    expected = sum(min(p[pair] / p.total(), q[pair] / q.total()) for pair in p)
    assert 0 < expected < 1
    assert value("ngram_overlap", a, b) == pytest.approx(expected)
    assert value("ngram_overlap", a, a) == pytest.approx(1.0)
    assert value("ngram_overlap", a, b + 100) == 0.0
    # The end of one window and the start of the next are no neighbours.
    assert value("ngram_overlap", np.array([[1, 2]] * 9), np.array([[2, 1]] * 9)) == 0.0


def test_zero_shot_is_the_mean_loss_of_the_domain_alone() -> None:
    losses, others = np.arange(12.0)[:, None], np.full((12, 1), 99.0)
    units = np.arange(12)
    found = estimate(ZERO_SHOT, losses, others, units, units, SCALE, resamples=100)
    assert found.value == pytest.approx(5.5)
    assert found.low < 5.5 < found.high < 12


def test_c2st_is_a_half_for_one_distribution_and_one_for_two() -> None:
    rng = np.random.default_rng(7)
    same = [value("c2st", *rng.standard_normal((2, 80, 6))) for _ in range(20)]
    assert np.mean(same) == pytest.approx(0.5, abs=0.03)
    x, y = rng.standard_normal((2, 80, 6))
    assert value("c2st", x, y + 4.0) > 0.98
    assert value("c2st", np.ones((20, 3)), np.ones((20, 3))) == 0.5


def test_c2st_keeps_a_document_in_one_fold() -> None:
    """Each document has an embedding of its own: a probe that saw its neighbours would do well, this one cannot."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(20), 10)
    centres = 5 * rng.standard_normal((2, 20, 30))
    x, y = (np.repeat(c, 10, axis=0) + 0.1 * rng.standard_normal((200, 30)) for c in centres)
    assert value("c2st", x, y) > 0.9
    units = (groups, groups)
    grouped = estimate(REGISTRY["c2st"], x, y, *units, SCALE, resamples=0).value
    assert grouped < 0.7
    folds = assign_folds(groups, 5, rng)
    assert all(len(set(folds[groups == g])) == 1 for g in range(20))
    assert np.bincount(folds).tolist() == [40] * 5


@pytest.mark.parametrize(
    ("features", "balance"), [(3, 0.0), (25, 1.0), (90, 0.5)], ids=["few", "some", "more than rows"]
)
def test_probe_is_the_minimum_that_a_general_optimiser_finds(features: int, balance: float) -> None:
    rng = np.random.default_rng(9)
    rows, unseen = rng.standard_normal((60, features)) * 3 + 1, rng.standard_normal((8, features)) * 3 + 1
    side = (rows[:, 0] + rng.standard_normal(60) > 1 + balance).astype(float)
    z = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    weight = np.where(side == 1, 0.5 / side.mean(), 0.5 / (1 - side.mean()))

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        score = z @ theta[:-1] + theta[-1]
        loss = weight @ (np.logaddexp(0, score) - side * score) + RIDGE * 60 / 2 * theta[:-1] @ theta[:-1]
        error = weight * (scipy.special.expit(score) - side)
        return loss, np.append(z.T @ error + RIDGE * 60 * theta[:-1], error.sum())

    best = scipy.optimize.minimize(objective, np.zeros(features + 1), jac=True, tol=1e-12).x
    expected = (unseen - rows.mean(axis=0)) / rows.std(axis=0) @ best[:-1] + best[-1]
    assert fit(rows, side, unseen).scores == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("solve", [solve_primal, solve_dual])
@pytest.mark.parametrize("features", [4, 50])
def test_probe_knows_how_other_weights_would_move_it(solve, features: int) -> None:
    """To first order: fitted again with weights that differ little, it moves by what the jackknife says."""
    rng = np.random.default_rng(10)
    rows, unseen = rng.standard_normal((40, features)), rng.standard_normal((6, features))
    side, change = (rows[:, 0] > 0).astype(float), 1e-3 * rng.standard_normal(40)
    fitted = solve(rows, side, np.ones(40), 2.0, unseen)
    again = solve(rows, side, 1 + change, 2.0, unseen)
    assert np.abs(again.scores - fitted.scores).max() > 1e-4
    assert fitted.moved(change[None])[0] == pytest.approx(again.scores - fitted.scores, abs=3e-6)


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"c2st"}))
def test_a_row_counted_twice_is_the_row_there_twice(name: str) -> None:
    rng = np.random.default_rng(13)
    if REGISTRY[name].reads == "tokens":
        x, y = rng.integers(0, 9, (30, 6)), rng.integers(3, 12, (30, 6))
    else:
        x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 4)) + 0.5
    wx, wy = multiplicities(3, 30, rng), multiplicities(3, 30, rng)
    found = REGISTRY[name].prepare(x, y, np.arange(30), np.arange(30), SCALE)(wx, wy)
    for draw, a, b in zip(found, wx, wy, strict=True):
        repeated = np.repeat(x, a.astype(int), axis=0), np.repeat(y, b.astype(int), axis=0)
        expected = without_copies(*repeated) if name == "mmd2" else value(name, *repeated)
        assert draw == pytest.approx(expected, rel=1e-9)


def without_copies(x: np.ndarray, y: np.ndarray) -> float:
    """MMD² by loops over all pairs of rows that are not the same one."""

    def k(a, b) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * SCALE.bandwidth**2)))

    within = [np.mean([k(a, b) for a in rows for b in rows if (a != b).any()]) for rows in (x, y)]
    return float(sum(within) - 2 * np.mean([k(a, b) for a in x for b in y]))


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_interval_holds_the_value_and_stays_in_bounds(name) -> None:
    measure = REGISTRY[name]
    rng = np.random.default_rng(10)
    if measure.reads == "tokens":
        x, y = rng.integers(0, 40, (60, 16)), rng.integers(10, 50, (60, 16))
    else:
        x, y = rng.standard_normal((60, 6)), rng.standard_normal((60, 6)) + 0.4
    groups = np.arange(60) // 3
    first = estimate(measure, x, y, groups, groups, SCALE, resamples=100)
    assert measure.bounds[0] <= first.low < first.value < first.high <= measure.bounds[1]
    assert first == estimate(measure, x, y, groups, groups, SCALE, resamples=100)
    assert estimate(measure, x, y, groups, groups, SCALE, resamples=0).low is None


def test_l2_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(11)
    shift = np.array([1.0, 0.0, 0.0])
    covered = 0
    for seed in range(60):
        x, y = rng.standard_normal((2, 100, 3))
        scale = Scale(1.0, seed)
        units = np.arange(100)
        result = estimate(REGISTRY["l2"], x + shift, y, units, units, scale, resamples=150)
        covered += result.low <= 1.0 <= result.high
    assert covered >= 51


def test_c2st_interval_covers_what_other_samples_would_give() -> None:
    """The probes' own uncertainty counts: with probes held fixed, four of five intervals hold the mean accuracy."""
    rng = np.random.default_rng(16)
    units = np.repeat(np.arange(40), 2)

    def sample(shift: float) -> np.ndarray:
        centres = np.repeat(0.6 * rng.standard_normal((40, 6)), 2, axis=0)
        return centres + 0.8 * rng.standard_normal((80, 6)) + shift

    pairs = [(sample(0.15), sample(0.0)) for _ in range(80)]
    found = [
        estimate(REGISTRY["c2st"], x, y, units, units, Scale(1.0, n), resamples=100) for n, (x, y) in enumerate(pairs)
    ]
    mean = np.mean([each.value for each in found])
    assert sum(each.low <= mean <= each.high for each in found) >= 74


def test_overlap_interval_covers_where_little_is_shared() -> None:
    """Resamples share less in proportion: their spread, moved but not scaled, holds the mean in seventeen of twenty."""
    rng = np.random.default_rng(17)
    units = np.repeat(np.arange(40), 2)
    p = 1 / np.arange(1, 301)
    near, far = p / p.sum(), np.roll(p, 150) / p.sum()

    def sample(shares: np.ndarray) -> np.ndarray:
        return np.concatenate([rng.choice(300, (2, 24), p=rng.dirichlet(shares * 200)) for _ in range(40)])

    found = [
        estimate(REGISTRY["ngram_overlap"], sample(far), sample(near), units, units, Scale(0.0, n), resamples=100)
        for n in range(60)
    ]
    mean = np.mean([each.value for each in found])
    assert 0 < mean < 0.1
    assert sum(each.low <= mean <= each.high for each in found) >= 55


@pytest.mark.parametrize("name", [n for n in sorted(REGISTRY) if REGISTRY[n].reads == "embedding"])
def test_orientation_is_as_declared(name) -> None:
    """A near sample is nearer than a far one, in the direction that the measure declares."""
    rng = np.random.default_rng(12)
    y = rng.standard_normal((120, 4)) + 3.0
    near, far = rng.standard_normal((120, 4)) + 3.1, rng.standard_normal((120, 4)) * [1, 1, 1, 2] - [3, 1, 0, 0]
    sign = 1 if REGISTRY[name].higher_is_closer else -1
    assert sign * value(name, near, y) > sign * value(name, far, y)


def test_median_distance_of_a_line_and_of_identical_rows() -> None:
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(2.0)
    assert squared_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])) == pytest.approx(25.0)
    with pytest.raises(DataError, match="same embedding"):
        median_distance(np.ones((30, 4)))


def test_unknown_measure_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        find("measure", "frechett", REGISTRY)
    assert "Did you mean frechet?" in caught.value.hint
    assert "mmd2" in caught.value.hint
