"""Fitting: known truth is recovered, facts are right, results are deterministic, edges are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.features import features
from engine.laws.fit import Fit, FitOptions, fit
from engine.laws.forms import REGISTRY
from engine.laws.huber import huber, log_residuals, objective
from engine.laws.points import Points, count_distinct

ALL = sorted(REGISTRY)
WELL_KNOWN = ("alpha", "beta", "eta", "phi", "kappa", "nu", "a", "alpha1", "alpha2", "alpha3", "A", "B", "F", "K", "b")
"""Parameters the design determines within 5 % at 0.02 % noise; E, C, eps and gamma trade off against each other."""
QUICK = FitOptions(starts=100, bootstrap=0)


def fit_role(form: str, points: Points, options: FitOptions = QUICK) -> Fit:
    return fit(REGISTRY[form], points, replace(options, role=REGISTRY[form].roles[0]))


@pytest.mark.parametrize("name", ALL)
def test_known_truth_is_recovered(
    name: str, make_sample: Callable[..., Points], truth: dict[str, dict[str, float]]
) -> None:
    result = fit_role(name, make_sample(name, noise=2e-4))
    found = dict(zip(result.law.form.names, result.law.form.from_u(result.u), strict=True))
    for parameter, value in truth[name].items():
        if parameter in WELL_KNOWN:
            assert found[parameter] == pytest.approx(value, rel=0.05, abs=0.005), parameter
    held_out = make_sample(name, (279.0,))
    np.testing.assert_allclose(result.law.predict(held_out), held_out.loss, rtol=1e-3)
    assert result.starts_agreeing >= result.starts_polished / 3


@pytest.mark.parametrize("name", ALL)
def test_with_half_a_percent_of_noise_a_ptpp_nine_times_as_high_is_predicted(
    name: str, make_sample: Callable[..., Points]
) -> None:
    result = fit_role(name, make_sample(name, noise=5e-3))
    truth = make_sample(name, (279.0,))
    error = np.abs(result.law.predict(truth) / truth.loss - 1)
    assert np.median(error) < 1.5e-2
    assert error.max() < 4e-2


def test_the_objective_is_the_direct_sum(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", noise=0.01)
    result = fit_role("dcpt", points)
    total = 0.0
    for predicted, measured in zip(result.law.predict(points), points.loss, strict=True):
        error = abs(np.log(predicted) - np.log(measured))
        total += 0.5 * error**2 if error <= 1e-3 else 1e-3 * (error - 0.5e-3)
    assert result.objective == pytest.approx(total, rel=1e-9)


def test_huber_by_hand() -> None:
    np.testing.assert_allclose(huber(np.array([0.0, 0.5, -1.0, 3.0, -3.0]), 1.0), [0.0, 0.125, 0.5, 2.5, 2.5])
    weights = np.array([1.0, 2.0])
    assert objective(np.array([[0.5, 3.0]]), weights, 1.0)[0] == pytest.approx(0.125 + 5.0)


def test_outliers_do_not_move_the_fit(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", noise=2e-4)
    loss = points.loss.copy()
    loss[::35] *= 1.3
    held_out = make_sample("dcpt", (279.0,))
    spoiled = fit_role("dcpt", replace(points, loss=loss))
    np.testing.assert_allclose(spoiled.law.predict(held_out), held_out.loss, rtol=2e-3)


def test_the_same_seed_gives_the_same_fit_and_draws(make_sample: Callable[..., Points]) -> None:
    points = make_sample("ptpp_gated_floor", noise=0.005)
    options = FitOptions(starts=60, bootstrap=20, seed=3)
    first, second = (fit_role("ptpp_gated_floor", points, options) for _ in range(2))
    np.testing.assert_array_equal(first.u, second.u)
    np.testing.assert_array_equal(first.law.draws, second.law.draws)
    other = fit_role("ptpp_gated_floor", points, replace(options, seed=4))
    assert not np.array_equal(first.law.draws, other.law.draws)


def test_the_band_covers_the_truth_and_resamples_whole_runs(make_sample: Callable[..., Points]) -> None:
    points = make_sample("ptpp_additive", noise=0.005, seed=1)
    result = fit_role("ptpp_additive", points, FitOptions(starts=60, bootstrap=100))
    held_out = make_sample("ptpp_additive", (40.0,))
    low, high = np.percentile(result.law.predict_draws(held_out), [0.5, 99.5], axis=0)
    assert np.mean((low <= held_out.loss) & (held_out.loss <= high)) > 0.8
    # A trajectory shifted as a whole is one observation, not seven: the band widens with the runs' scatter.
    runs, member = np.unique(points.run, return_inverse=True)
    shift = np.exp(0.005 * np.random.default_rng(0).standard_normal(len(runs)))
    clustered = replace(points, loss=make_sample("ptpp_additive").loss * shift[member])
    by_run = fit_role("ptpp_additive", clustered, FitOptions(starts=60, bootstrap=100)).law
    by_point = fit_role(
        "ptpp_additive",
        replace(clustered, run=np.arange(len(points)).astype(str)),
        FitOptions(starts=60, bootstrap=100),
    ).law
    spread = [np.ptp(law.predict_draws(held_out), axis=0).mean() for law in (by_run, by_point)]
    assert spread[0] > 1.5 * spread[1]


def test_a_single_run_has_no_draws(make_sample: Callable[..., Points]) -> None:
    points = make_sample("chinchilla", noise=0.001)
    result = fit_role("chinchilla", replace(points, run=np.full(len(points), "one")), FitOptions(starts=50))
    assert result.law.draws.shape == (0, 5)


def test_weights_act_as_repetitions(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", noise=0.01).select(np.arange(60))
    repeated = points.select(np.concatenate([np.arange(60), np.arange(10)]))
    weighted = replace(points, weight=np.where(np.arange(60) < 10, 2.0, 1.0))
    first, second = fit_role("chinchilla", repeated), fit_role("chinchilla", weighted)
    assert first.objective == pytest.approx(second.objective, rel=1e-9)
    np.testing.assert_allclose(first.law.predict(points), second.law.predict(points), rtol=1e-6)


def test_one_ptpp_drops_the_terms_in_p(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", (15.0,), noise=1e-4)
    gated, plain = fit_role("ptpp_gated_floor", points), fit_role("dcpt", points)
    assert gated.law.params["F"] == 0.0
    assert gated.law.params["kappa"] == 0.0
    assert gated.objective == pytest.approx(plain.objective, rel=1e-6)
    assert any("1 distinct PTPP" in note for note in gated.dropped.notes)
    with pytest.raises(LawError, match="too few values of P"):
        gated.law.require_inside(make_sample("dcpt", (31.0,)))
    gated.law.require_inside(points)
    plain.law.require_inside(make_sample("dcpt", (31.0,)))


def test_two_sizes_merge_the_size_term(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", noise=1e-4)
    two = points.select(points.n_params < 1e5)
    result = fit_role("dcpt", two)
    assert result.law.params["A"] == 0.0
    assert any(note.startswith("2 distinct model sizes") for note in result.dropped.notes)
    with pytest.raises(LawError, match="too few values of N"):
        result.law.require_inside(points)


def test_one_share_drops_the_terms_in_r(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", noise=1e-4)
    result = fit_role("dcpt", points.select(points.replay_ratio == 0.25))
    assert (result.law.params["C"], result.law.params["eta"]) == (0.0, 0.0)
    np.testing.assert_allclose(result.law.predict(result.points), result.points.loss, rtol=2e-3)


def test_unusable_points_are_left_out_and_counted(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt")
    loss, tokens, ptpp = points.loss.copy(), points.adapt_tokens.copy(), points.ptpp.copy()
    loss[0], loss[1], tokens[2], ptpp[3] = np.nan, 0.0, 0.0, np.nan
    spoiled = replace(points, loss=loss, adapt_tokens=tokens, ptpp=ptpp)
    blind = fit_role("dcpt", spoiled)
    assert dict(blind.excluded) == {"loss missing or not positive": 2, "D = 0, before adaptation": 1}
    assert blind.n_points == len(points) - 3
    aware = fit_role("ptpp_additive", spoiled)
    assert dict(aware.excluded)["pretraining tokens per parameter unknown"] == 1


def test_an_unknown_ptpp_is_a_refusal_with_its_reason(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt")
    with pytest.raises(LawError, match="pretraining tokens per parameter unknown"):
        fit_role("ptpp_gated", replace(points, ptpp=np.full(len(points), np.nan)))


def test_too_few_points_say_how_many_are_needed(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt")
    few = points.select(np.linspace(0, len(points) - 1, 9).astype(int))
    with pytest.raises(LawError, match="dcpt needs at least 10 points, and 9 can be used"):
        fit_role("dcpt", few)
    with pytest.raises(LawError, match="needs at least"):
        fit_role("dcpt", points.select(np.zeros(len(points), bool)))


def test_a_form_of_the_base_loss_refuses_the_target(make_sample: Callable[..., Points]) -> None:
    with pytest.raises(LawError, match="base loss only"):
        fit(REGISTRY["forgetting"], make_sample("forgetting"), FitOptions(role="target"))


def test_zero_shares_are_fitted_without_nan(make_sample: Callable[..., Points]) -> None:
    """The base loss at replay 0: r = 0."""
    points = make_sample("forgetting", noise=1e-3)
    assert (points.share == 0).any()
    result = fit(REGISTRY["dcpt"], points, FitOptions(role="base", starts=60, bootstrap=10))
    assert np.isfinite(result.law.predict(points)).all()
    assert np.isfinite(result.law.draws).all()
    assert np.isfinite(result.condition)


def test_bounds_are_respected_and_reported(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", noise=0.005)
    result = fit_role("ptpp_gated_floor", points, FitOptions(starts=100, bootstrap=20))
    lower, upper = result.bounds
    assert ((result.u >= lower) & (result.u <= upper)).all()
    at_edge = [
        name
        for name, value, low, high in zip(result.law.form.names, result.u, lower, upper, strict=True)
        if min(value - low, high - value) < 1e-6
    ]
    assert list(result.at_bound) == at_edge


def test_distinct_values_ignore_rounding_of_budgets() -> None:
    assert count_distinct(np.array([14.9, 15.0, 15.2, 31.0, 30.8, np.nan])) == 2
    assert count_distinct(np.array([0.0, 1.0])) == 2


def test_columns_are_checked_and_derived() -> None:
    points = Points.from_columns({"n_params": [1e5, 2e5], "atpp": 4.0, "loss": [3.0, 2.9]})
    np.testing.assert_allclose(points.adapt_tokens, [4e5, 8e5])
    assert len(set(points.run)) == 2
    with pytest.raises(LawError, match="no column tokens"):
        Points.from_columns({"tokens": [1.0]})


def test_a_prediction_outside_the_logarithm_is_finite(make_sample: Callable[..., Points]) -> None:
    """A form that predicts a loss below zero has a large residual, not a NaN."""
    points = make_sample("forgetting")
    form = REGISTRY["forgetting"]
    u = form.to_u({"A": 0.3, "beta": 0.4, "alpha": 0.3, "B": 50.0, "E": -9.0})[None]
    assert np.isfinite(
        log_residuals(form.value(u, features(points, fit_role("forgetting", points).scales)), np.log(points.loss))
    ).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("error")
def test_ranges_of_many_orders_of_magnitude(name: str) -> None:
    """From 10 to 10^15 parameters, P from 0.001 to 10^6: no overflow, no NaN, no warning."""
    rng = np.random.default_rng(0)
    n = 60
    rho = rng.choice([0.0, 0.01, 0.5, 1.0], n)
    role = REGISTRY[name].roles[0]
    points = Points.from_columns(
        {
            "n_params": 10 ** rng.uniform(1, 15, n),
            "ptpp": 10 ** rng.uniform(-3, 6, n),
            "atpp": 10 ** rng.uniform(-3, 3, n),
            "replay_ratio": rho,
            "share": 1 - rho if role == "target" else rho,
            "loss": rng.uniform(1.5, 11.0, n),
            "zero_shot_loss": rng.uniform(2, 11, n),
            "quality": rng.uniform(2, 11, n),
        }
    )
    result = fit_role(name, points, FitOptions(starts=60, bootstrap=10))
    assert np.isfinite(result.objective)
    assert np.isfinite(result.law.predict(points)).all()
    assert np.isfinite(result.law.draws).all()
    assert np.isfinite(result.condition)
