from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats as reference

from engine import stats
from engine.clustered import Sample, correlate, fit_line, leave_one_out

X = np.array([0.1, 0.5, 0.2, 0.9, 0.7, 0.35, 0.6])
Y = np.array([1.0, 2.2, 0.7, 2.0, 2.9, 1.2, 1.1])
GROUPS = ["wiki", "wiki", "wiki", "s2orc", "s2orc", "s2orc", "s2orc"]


def many(n: int = 20, models: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of n domains, and what each of several models did to them: what they share is the domain's."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    domain = 0.5 * x + rng.standard_normal(n)
    y = domain[:, None] + 0.2 * rng.standard_normal((n, models)) + np.arange(models)
    return np.repeat(x[:, None], models, axis=1), y


def demeaned(values: np.ndarray, labels: list) -> np.ndarray:
    """Values minus the mean of those with the same label, in a loop."""
    out = np.array(values, dtype=float)
    for label in set(labels):
        here = [i for i, other in enumerate(labels) if other == label]
        out[here] -= np.mean(out[here])
    return out


def test_one_model_without_groups_gives_the_plain_numbers() -> None:
    assert correlate(Sample(X, Y), seed=3) == stats.pearson(X, Y, seed=3)
    assert correlate(Sample(X, Y), kind="spearman", seed=3) == stats.spearman(X, Y, seed=3)
    assert correlate(Sample(X, Y)).r == pytest.approx(reference.pearsonr(X, Y).statistic)
    assert correlate(Sample(X, Y), kind="spearman").r == pytest.approx(reference.spearmanr(X, Y).statistic)


def test_partial_correlation_equals_the_inverse_of_the_correlation_matrix() -> None:
    rng = np.random.default_rng(5)
    z = rng.standard_normal((60, 2))
    x, y = z @ [1, 0.5] + 0.3 * rng.standard_normal(60), z @ [1, -0.2] + 0.3 * rng.standard_normal(60)
    precision = np.linalg.inv(np.corrcoef(np.column_stack([x, y, z]).T))
    result = correlate(Sample(x, y, controls=1e6 * z + 3e8), resamples=300)
    assert np.corrcoef(x, y)[0, 1] > 0.6
    assert result.r == pytest.approx(-precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1]), abs=1e-7)
    assert result.low < result.r < result.high
    assert result.sentence.startswith("partial r = ")


def test_partial_correlation_refits_in_every_resample() -> None:
    rng = np.random.default_rng(7)
    z = rng.standard_normal(25)
    x, y = z + rng.standard_normal(25), z + rng.standard_normal(25)
    draws = []
    for index in np.random.default_rng(2).integers(0, 25, size=(400, 25)):
        rx, ry = (v[index] - np.polyval(np.polyfit(z[index], v[index], 1), z[index]) for v in (x, y))
        draws.append(np.corrcoef(rx, ry)[0, 1])
    result = correlate(Sample(x, y, controls=z), resamples=400, seed=2)
    assert (result.low, result.high) == pytest.approx(tuple(np.percentile(draws, (2.5, 97.5))), abs=1e-7)


def test_partial_correlation_controls_that_leave_nothing_are_named() -> None:
    assert "four are the fewest" in correlate(Sample(X[:3], Y[:3], controls=Y[:3])).sentence
    result = correlate(Sample(2 * X, Y, controls=X, x_name="similarity"))
    assert result.sentence == "no correlation: the controls explain all of similarity"


def test_a_control_that_does_not_vary_takes_nothing_out() -> None:
    assert correlate(Sample(X, Y, controls=np.full(7, 3.0))).r == pytest.approx(np.corrcoef(X, Y)[0, 1])


def test_within_groups_is_the_correlation_of_what_is_left_after_the_groups_means() -> None:
    result = correlate(Sample(X, Y, GROUPS))
    expected = np.corrcoef(demeaned(X, GROUPS), demeaned(Y, GROUPS))[0, 1]
    dummy = np.array([group == "wiki" for group in GROUPS], dtype=float)
    assert result.r == pytest.approx(expected)
    assert result.r == pytest.approx(correlate(Sample(X, Y, controls=dummy)).r)
    assert result.kind == "within"
    assert result.sentence.startswith("r = ")


def test_within_groups_only_domains_of_one_group_change_places() -> None:
    result = correlate(Sample(X, Y, GROUPS))
    x, y = demeaned(X, GROUPS), demeaned(Y, GROUPS)
    pairings = [
        abs(np.corrcoef(x, y[[*first, *second]])[0, 1])
        for first in permutations(range(3))
        for second in permutations(range(3, 7))
    ]
    assert len(pairings) == 144
    assert result.p == pytest.approx(np.mean(np.array(pairings) >= abs(result.r) - 1e-12))
    assert result.exact


def test_groups_alone_make_a_correlation_that_is_not_there_within_them() -> None:
    rng = np.random.default_rng(11)
    groups = ["near"] * 10 + ["far"] * 10
    shift = np.repeat([3.0, 0.0], 10)
    x, y = shift + rng.standard_normal(20), shift + rng.standard_normal(20)
    assert correlate(Sample(x, y)).r > 0.6
    within = correlate(Sample(x, y, groups))
    assert within.low < 0 < within.high
    assert within.p > 0.05


def test_a_group_of_one_domain_says_nothing() -> None:
    alone = [*GROUPS[:-1], "news"]
    result = correlate(Sample(X, Y, alone))
    assert result.n == 6
    assert result.r == pytest.approx(correlate(Sample(X[:-1], Y[:-1], GROUPS[:-1])).r)
    assert correlate(Sample(X, Y, list("abcdefg"))).sentence == "no correlation: no group holds two domains"
    flat = np.array([1, 1, 1, 2, 2, 2, 2.0])
    assert "similarity is the same within every group" in correlate(Sample(flat, Y, GROUPS, x_name="similarity")).reason


def test_models_have_means_of_their_own() -> None:
    x, y = many()
    labels = list(range(3)) * 20
    expected = np.corrcoef(demeaned(x.ravel(), labels), demeaned(y.ravel(), labels))[0, 1]
    assert correlate(Sample(x, y)).r == pytest.approx(expected)
    assert correlate(Sample(x, y, by_model=False)).r == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    assert correlate(Sample(x, y)).n == 20


def test_the_bootstrap_draws_domains_with_all_their_points() -> None:
    x, y = many()
    draws = []
    for index in np.random.default_rng(4).integers(0, 20, size=(300, 20)):
        labels = list(range(3)) * 20
        rx, ry = demeaned(x[index].ravel(), labels), demeaned(y[index].ravel(), labels)
        draws.append(np.corrcoef(rx, ry)[0, 1])
    result = correlate(Sample(x, y), resamples=300, seed=4)
    assert (result.low, result.high) == pytest.approx(tuple(np.percentile(draws, (2.5, 97.5))), abs=1e-9)
    naive = stats.pearson(x.ravel(), (y - y.mean(axis=0)).ravel(), resamples=300, seed=4)
    assert result.high - result.low > 1.4 * (naive.high - naive.low)


def test_a_copied_model_adds_no_evidence() -> None:
    once = correlate(Sample(X, Y), seed=1)
    thrice = correlate(Sample(np.column_stack([X] * 3), np.column_stack([Y, Y + 1, Y + 5])), seed=1)
    assert (thrice.r, thrice.p, thrice.n) == pytest.approx((once.r, once.p, 7))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=0.02)
    ranked = correlate(Sample(np.column_stack([X] * 2), np.column_stack([Y, np.exp(Y)])), kind="spearman")
    assert ranked.r == pytest.approx(reference.spearmanr(X, Y).statistic)


def test_the_permutation_moves_whole_domains() -> None:
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(200):
        x, domain = rng.standard_normal((2, 6))
        y = domain[:, None] + 0.1 * rng.standard_normal((6, 4))
        rejected += correlate(Sample(np.repeat(x[:, None], 4, axis=1), y), resamples=40).p <= 0.05
    assert rejected / 200 <= 0.09


def test_models_may_lack_domains() -> None:
    x, y = many(8, 2)
    y[0, 0] = y[3, 1] = np.nan
    y[5] = np.nan
    there = np.isfinite(y)
    labels = [m for d in range(8) for m in range(2) if there[d, m]]
    expected = np.corrcoef(demeaned(x[there], labels), demeaned(y[there], labels))[0, 1]
    result = correlate(Sample(x, y), resamples=200)
    assert result.r == pytest.approx(expected)
    assert result.n == 7
    assert 0 < result.p <= 1
    assert leave_one_out(Sample(x, y))[5].r is None


def test_leave_one_out_equals_leaving_out() -> None:
    x, y = many(9, 2)
    influence = leave_one_out(Sample(x, y))
    everything = correlate(Sample(x, y), resamples=30).r
    for i in range(9):
        without = correlate(Sample(np.delete(x, i, axis=0), np.delete(y, i, axis=0)), resamples=30).r
        assert influence[i].r == pytest.approx(without)
        assert influence[i].change == pytest.approx(without - everything)
    x, y = np.array([0.0, 0.1, 0.2, 0.1, 5.0]), np.array([0.2, 0.1, 0.2, 0.3, 6.0])
    assert max(leave_one_out(Sample(x, y)), key=lambda i: abs(i.change)).index == 4
    assert leave_one_out(Sample([1, 2, 3], [1, 2, 3]))[0].r is None
    assert leave_one_out(Sample([1, 1, 1, 1, 2], [1, 2, 4, 3, 5]))[4].r is None


def test_line_is_least_squares_inside_its_band() -> None:
    at = np.linspace(0, 1, 9)
    low, mid, high = fit_line(Sample(X, Y), at, seed=2)
    slope, intercept = np.polyfit(X, Y, 1)
    assert mid == pytest.approx(intercept + slope * at)
    lines = []
    for index in np.random.default_rng(2).integers(0, 7, size=(2000, 7)):
        if np.ptp(X[index]) > 0:
            lines.append(np.polyval(np.polyfit(X[index], Y[index], 1), at))
    assert low == pytest.approx(np.percentile(lines, 2.5, axis=0), abs=1e-6)
    assert high == pytest.approx(np.percentile(lines, 97.5, axis=0), abs=1e-6)
    assert fit_line(Sample([1, 1, 1], [1, 2, 3]), at) is None
    assert fit_line(Sample([1, 2], [1, 2]), at) is None


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        Sample([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="2 groups for 3 domains"):
        Sample([1, 2, 3], [1, 2, 3], groups=["a", "b"])
