from __future__ import annotations

import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest

from engine import stats

X = np.array([0.1, 0.5, 0.2, 0.9, 0.7, 0.35, 0.6])
Y = np.array([1.0, 2.2, 0.7, 2.0, 2.9, 1.2, 1.1])


def test_pearson_equals_numpy_and_the_p_of_all_pairings() -> None:
    result = stats.pearson(X, Y, seed=3)
    expected = np.corrcoef(X, Y)[0, 1]
    pairings = [abs(np.corrcoef(X, Y[list(order)])[0, 1]) for order in permutations(range(7))]
    assert result.r == pytest.approx(expected, abs=1e-12)
    assert result.p == pytest.approx(np.mean(np.array(pairings) >= abs(expected) - 1e-12))
    assert result.exact
    assert result.low < result.r < result.high
    assert result.n == 7


def test_spearman_shares_mean_ranks_over_ties() -> None:
    assert stats.ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]
    x, y = [1.0, 2.0, 2.0, 4.0, 5.0], [10.0, 30.0, 20.0, 20.0, 50.0]
    by_ranks = np.corrcoef([1, 2.5, 2.5, 4, 5], [1, 4, 2.5, 2.5, 5])[0, 1]
    assert stats.spearman(x, y).r == pytest.approx(by_ranks)


def test_spearman_is_unmoved_by_a_monotone_change_of_scale() -> None:
    assert stats.spearman(X, Y).r == pytest.approx(stats.spearman(np.exp(5 * X), Y**3).r)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(150):
        x = rng.standard_normal(40)
        y = 0.6 * x + 0.8 * rng.standard_normal(40)
        result = stats.pearson(x, y, resamples=300, seed=trial)
        covered += result.low <= 0.6 <= result.high
    assert 0.86 <= covered / 150 <= 0.99


def test_permutation_p_is_uniform_without_a_relation() -> None:
    rng = np.random.default_rng(1)
    p = [stats.pearson(*rng.standard_normal((2, 6)), resamples=50).p for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.08
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_monte_carlo_p_is_never_zero() -> None:
    x = np.arange(12.0)
    result = stats.pearson(x, x, resamples=99)
    assert not result.exact
    assert result.p == pytest.approx(0.01)
    assert result.r == pytest.approx(1.0)


def test_same_seed_same_result_other_seed_other_interval() -> None:
    assert stats.pearson(X, Y, seed=1) == stats.pearson(X, Y, seed=1)
    assert stats.pearson(X, Y, seed=1).low != stats.pearson(X, Y, seed=2).low


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([1.0, 2.0], [1.0, 2.0], "2 points, three are the fewest"),
        ([], [], "0 points"),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "x is the same"),
        ([1.0, 2.0, 3.0], [0.3, 0.1 + 0.2, 0.3], "y is the same"),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0], "y is the same"),
        ([1.0, np.nan, 3.0], [4.0, 5.0, 6.0], "1 of 3 points are not finite"),
    ],
)
@pytest.mark.parametrize("function", [stats.pearson, stats.spearman])
def test_no_correlation_says_why(function, x, y, reason) -> None:
    result = function(x, y)
    assert result.r is None
    assert result.sentence.startswith("no correlation: ")
    assert reason in result.sentence


def test_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 2 values"):
        stats.pearson([1, 2, 3], [1, 2])


def test_sentence_is_readable() -> None:
    assert stats.Correlation(0.412, -0.021, 0.708, 0.3571, 7).sentence == "r = .41 [−.02, .71], p = .36, n = 7"
    assert stats.Correlation(-1.0, None, None, 0.0002, 9, "spearman").sentence == "ρ = −1.00, p < .001, n = 9"
    assert stats.format_share(-0.001) == ".00"


def test_paired_bootstrap_weights_documents_by_tokens() -> None:
    delta, tokens = np.array([0.1, -0.2, 0.4, 0.0]), np.array([10, 30, 5, 55])
    result = stats.paired_bootstrap(delta, tokens, seed=1)
    assert result.mean == pytest.approx((0.1 * 10 - 0.2 * 30 + 0.4 * 5) / 100)
    assert result.low < result.mean < result.high
    assert stats.paired_bootstrap([0.3], [5]).reason == "one document: no interval"
    assert stats.paired_bootstrap([], []).mean is None
    assert stats.paired_bootstrap([0.3, np.nan, 0.1], [5, 0, 5]).n == 2


def test_paired_bootstrap_of_many_documents_matches_the_standard_error() -> None:
    delta = np.random.default_rng(2).standard_normal(20_000) * 0.5 + 0.1
    result = stats.paired_bootstrap(delta, resamples=400)
    width = 2 * 1.96 * delta.std() / np.sqrt(len(delta))
    assert result.high - result.low == pytest.approx(width, rel=0.2)


def test_module_needs_numpy_only() -> None:
    heavy = ("torch", "scipy", "pandas", "sklearn", "duckdb", "textual")
    code = f"import engine.clustered, engine.stats, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_ratios_of_several_columns_are_those_of_each_and_add_up() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 40, 60)
    sums = rng.normal(0, 1, (60, 3)) * counts[:, None]
    parts = stats.bootstrap_ratios(sums, counts, resamples=400)
    kept = counts > 0
    for column, part in enumerate(parts):
        alone = stats.paired_bootstrap(sums[kept, column] / counts[kept], counts[kept], resamples=400)
        assert (part.mean, part.low, part.high) == pytest.approx((alone.mean, alone.low, alone.high))
        assert part.mean == pytest.approx(sums[:, column].sum() / counts.sum())
        assert part.low < part.mean < part.high
        assert part.n == kept.sum()
    assert sum(part.mean for part in parts) == pytest.approx(sums.sum() / counts.sum())


def test_ratios_resample_documents_by_hand() -> None:
    sums, counts = np.array([[3.0], [-1.0], [4.0]]), np.array([2, 1, 5])
    (found,) = stats.bootstrap_ratios(sums, counts, resamples=500, seed=9)
    index = np.random.default_rng(9).integers(0, 3, size=(500, 3))
    draws = [sums[row, 0].sum() / counts[row].sum() for row in index]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(draws, (2.5, 97.5))))


def test_ratios_without_documents_with_one_and_with_infinite_sums_say_why() -> None:
    assert "no document" in stats.bootstrap_ratios(np.zeros((2, 1)), [0, 0])[0].reason
    (one,) = stats.bootstrap_ratios([[2.0], [9.0]], [4, 0])
    assert (one.mean, one.low, one.n) == (0.5, None, 1)
    whole, broken = stats.bootstrap_ratios([[1.0, 1.0], [2.0, np.nan], [0.0, 3.0]], [1, 1, 1])
    assert whole.low is not None
    assert broken.reason == "1 of 3 differences are not finite"
