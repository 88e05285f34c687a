from __future__ import annotations

import numpy as np
import pytest

from engine.similarity.estimate import estimate
from engine.similarity.measures import REGISTRY, Scale, median_distance, squared_distances
from engine.similarity.names import find
from engine.similarity.probe import assign_folds, cross_validated_correct, fit_scores
from store.errors import ConfigError, DataError

SCALE = Scale(bandwidth=2.0, vocab_size=50, seed=0)


def value(name: str, x, y, scale: Scale = SCALE, groups=None) -> float:
    gx = np.arange(len(x)) if groups is None else groups
    return estimate(REGISTRY[name], x, y, gx, np.arange(len(y)), scale, resamples=0).value


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


def test_frechet_of_correlated_samples_equals_the_matrix_root_of_the_product(gaussians) -> None:
    """Tr (SX SY)^½ is the sum of the roots of the eigenvalues of SX·SY, computed here without symmetrising."""
    mix = np.random.default_rng(2).standard_normal((5, 5))
    x, y = gaussians[0] @ mix, gaussians[1]
    sx, sy = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.linalg.eigvals(sx @ sy).real).sum()
    expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(sx) + np.trace(sy) - 2 * root
    assert value("frechet", x, y) == pytest.approx(expected, rel=1e-8)
    assert value("frechet", x, x) == pytest.approx(0.0, abs=1e-6)


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
        draws = [
            statistic(*(np.bincount(rng.integers(0, 20, 20), minlength=20).astype(float) for _ in "xy"))
            for _ in range(20)
        ]
        middles.append(np.mean(draws))
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
    grouped = np.mean(np.concatenate(cross_validated_correct(x, y, groups, groups)))
    leaking = np.mean(np.concatenate(cross_validated_correct(x, y, np.arange(200), np.arange(200))))
    assert leaking > 0.9
    assert grouped < 0.7
    folds = assign_folds(groups, 5, rng)
    assert all(len(set(folds[groups == g])) == 1 for g in range(20))
    assert np.bincount(folds).tolist() == [40] * 5


def test_probe_in_the_span_of_the_rows_gives_the_same_scores() -> None:
    """With more features than rows the solution lies in the rows' span: adding silent columns changes nothing."""
    rng = np.random.default_rng(9)
    rows, unseen = rng.standard_normal((30, 10)), rng.standard_normal((8, 10))
    side = (rows[:, 0] + 0.5 * rng.standard_normal(30) > 0).astype(float)
    padded = [np.column_stack([part, np.tile(part, 4)]) for part in (rows, unseen)]
    wide, narrow = fit_scores(padded[0], side, padded[1]), fit_scores(rows, side, unseen)
    assert padded[0].shape[1] > len(rows)
    assert np.corrcoef(wide, narrow)[0, 1] > 0.98
    weights = np.where(side == 1, 0.5 / side.mean(), 0.5 / (1 - side.mean()))
    scores = fit_scores(rows, side, rows)
    assert weights @ (1 / (1 + np.exp(-scores)) - side) == pytest.approx(0.0, abs=1e-4)


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
        scale = Scale(1.0, 1, seed)
        units = np.arange(100)
        result = estimate(REGISTRY["l2"], x + shift, y, units, units, scale, resamples=150)
        covered += result.low <= 1.0 <= result.high
    assert covered >= 51


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
