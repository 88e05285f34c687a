"""Scores by hand, the zero-shot baseline, anchors, identifiability in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.laws.anchors import Anchors, split_anchors
from engine.laws.errors import LawError
from engine.laws.fit import FitOptions, fit
from engine.laws.forms import REGISTRY
from engine.laws.identify import identify
from engine.laws.optimise import minimise
from engine.laws.points import Points
from engine.laws.scores import score, shift_by_zero_shot


def test_scores_by_hand() -> None:
    observed, predicted = np.array([2.0, 3.0, 4.0]), np.array([2.2, 3.0, 3.6])
    result = score(predicted, observed, delta=0.05)
    assert result.n == 3
    assert result.mape == pytest.approx(100 * (0.1 + 0 + 0.1) / 3)
    assert result.mae_rel_mean == pytest.approx(0.2 / 3)
    assert result.mae_rel_sum == pytest.approx(0.6 / 9)
    assert result.rmse == pytest.approx(np.sqrt((0.04 + 0.16) / 3))
    assert result.r2 == pytest.approx(1 - 0.2 / 2)
    slope, intercept = np.polyfit(predicted, observed, 1)
    assert (result.slope, result.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    errors = np.abs(np.log(predicted / observed))
    by_hand = np.where(errors <= 0.05, errors**2 / 2, 0.05 * (errors - 0.025)).mean()
    assert result.huber_log == pytest.approx(by_hand)


def test_scores_without_spread_are_none_in_json() -> None:
    result = score(np.array([3.0, 3.0]), np.array([3.1, 3.1])).as_dict()
    assert result["slope"] is None
    assert result["r2"] is None
    assert result["mape"] == pytest.approx(100 * 0.1 / 3.1)
    with pytest.raises(LawError, match="no held-out point"):
        score(np.array([]), np.array([]))


def test_zero_shot_shift_moves_by_the_change_of_the_checkpoint() -> None:
    fitted = Points.from_columns(
        {
            "n_params": [1e5, 1e5, 1e5, 4e5, 4e5],
            "zero_shot_loss": [4.0, 4.0, 3.8, 3.5, 3.3],
            "loss": 1.0,
        }
    )
    new = Points.from_columns({"n_params": [1e5, 4e5, 2e5], "zero_shot_loss": [3.6, 3.2, 3.5], "loss": 1.0})
    # Mean L0 of the fitted checkpoints: 3.9 and 3.4 (each checkpoint once), 3.65 half-way in ln N.
    np.testing.assert_allclose(shift_by_zero_shot(np.full(3, 3.0), new, fitted), [2.7, 2.8, 2.85])
    unknown = replace(fitted, zero_shot_loss=np.full(5, np.nan))
    assert np.isnan(shift_by_zero_shot(np.full(3, 3.0), new, unknown)).all()


def test_anchors_are_the_cheapest_and_share_no_run_with_scored_points(make_sample: Callable[..., Points]) -> None:
    held_out = make_sample("dcpt", (279.0,))
    anchors, scored, left = split_anchors(held_out, Anchors(10, seed=1))
    assert (len(anchors), len(scored), len(left)) == (10, len(held_out) - 14, 4)
    assert set(anchors.n_params) == {held_out.n_params.min()}
    assert not set(anchors.run) & set(scored.run)
    assert set(left.run) <= set(anchors.run)
    assert (left.adapt_tokens.min()) >= anchors.adapt_tokens.max()
    again = split_anchors(held_out, Anchors(10, seed=1))[0]
    np.testing.assert_array_equal(anchors.run, again.run)
    runs = {tuple(np.unique(split_anchors(held_out, Anchors(10, seed=seed))[0].run)) for seed in range(8)}
    assert len(runs) > 1
    assert len(split_anchors(held_out, Anchors())[0]) == 0
    with pytest.raises(LawError, match="none would be left to score"):
        split_anchors(held_out, Anchors(len(held_out)))


def test_fewer_anchors_are_a_part_of_more_and_are_scored_on_the_same_points(make_sample: Callable[..., Points]) -> None:
    held_out = make_sample("dcpt", (279.0,))
    few, many = (split_anchors(held_out, Anchors(count, 20)) for count in (5, 20))
    assert (len(few[0]), len(many[0])) == (5, 20)
    np.testing.assert_array_equal(few[1].loss, many[1].loss)
    assert set(few[0].run) <= set(many[0].run)
    assert set(few[2].reason) == {"belongs to an anchor's run", "kept for a fit with more anchors"}
    assert len(few[0]) + len(few[1]) + len(few[2]) == len(held_out)


def test_anchors_of_any_size_and_their_weight(make_sample: Callable[..., Points]) -> None:
    held_out = make_sample("dcpt", (279.0,))
    anchors = split_anchors(held_out, Anchors(40, choice="random", weight=3.0, seed=2))[0]
    assert len(np.unique(anchors.n_params)) == 3
    assert set(anchors.weight) == {3.0}


def test_an_undetermined_exponent_is_said_in_words(make_sample: Callable[..., Points]) -> None:
    """The losses do not depend on the budget at all: its exponent cannot be known."""
    points = make_sample("dcpt", noise=0.01)
    result = fit(REGISTRY["ptpp_additive"], points, FitOptions(starts=60, bootstrap=0))
    found = identify(result, make_sample("dcpt", (279.0,)))
    assert "phi" in [profile.name for profile in found.profiles if profile.determined is False]
    assert any(sentence.startswith("Your data do not determine phi: values from") for sentence in found.sentences)
    phi = next(profile for profile in found.profiles if profile.name == "phi")
    assert phi.low <= 0.1
    assert phi.high >= 0.8
    assert phi.spread[0] <= 0 <= phi.spread[1]
    assert any(sentence.startswith("The data switch off F") for sentence in found.sentences)


def test_what_is_determined_is_said_too(make_sample: Callable[..., Points]) -> None:
    points = make_sample("chinchilla", noise=1e-4)
    result = fit(REGISTRY["chinchilla"], points, FitOptions(starts=60, bootstrap=0))
    found = identify(result)
    assert {profile.name: profile.determined for profile in found.profiles} == {
        **{"E": None, "A": None, "B": None},
        **{"alpha": True, "beta": True},
    }
    assert found.sentences[0].startswith("Your data determine every exponent")


def test_a_constant_loss_determines_no_exponent(make_sample: Callable[..., Points]) -> None:
    points = replace(make_sample("chinchilla"), loss=np.full(210, 3.0))
    result = fit(REGISTRY["chinchilla"], points, FitOptions(starts=40, bootstrap=0))
    assert result.objective < 1e-9
    assert result.starts_agreeing == result.starts_polished
    found = identify(result)
    assert [profile.determined for profile in found.profiles if profile.determined is not None] == [False, False]
    np.testing.assert_allclose(result.law.predict(points), 3.0, rtol=1e-5)


def test_profile_intervals_end_where_the_objective_has_risen(make_sample: Callable[..., Points]) -> None:
    points = make_sample("chinchilla", noise=0.005)
    result = fit(REGISTRY["chinchilla"], points, FitOptions(starts=60, bootstrap=0))
    found = identify(result, make_sample("chinchilla", (279.0,)))
    allowed = result.objective * (1 + found.rise)
    for profile in found.profiles:
        if profile.determined is None:
            continue
        position = result.law.form.index[profile.name]

        def cost(value: float, position: int = position) -> float:
            """The objective where this exponent is held and all else is refitted, from many starts."""
            lower, upper = (bound.copy() for bound in result.bounds)
            lower[position] = upper[position] = value
            starts = result.u + np.random.default_rng(0).normal(0, 0.3, (40, len(result.u)))
            starts = np.clip(starts, lower, upper)
            return minimise(result.problem, starts, lower, upper, points.weight, 300, 1e-10)[1].min()

        width = profile.high - profile.low
        assert profile.low < result.law.params[profile.name] < profile.high
        for inside, outside in ((profile.low, -1), (profile.high, 1)):
            assert cost(inside) <= allowed * (1 + 1e-6)
            assert cost(inside + outside * 0.15 * width) > allowed
    assert found.reach.shape == (2, 105)
    assert (found.reach[0] <= 0).all()
    assert (found.reach[1] >= 0).all()


def test_profile_intervals_hold_the_truth(
    make_sample: Callable[..., Points], truth: dict[str, dict[str, float]]
) -> None:
    held = 0
    for seed in range(6):
        points = make_sample("chinchilla", noise=0.005, seed=seed)
        found = identify(fit(REGISTRY["chinchilla"], points, FitOptions(starts=40, bootstrap=0)))
        for profile in found.profiles:
            if profile.name in ("alpha", "beta"):
                held += profile.low <= truth["chinchilla"][profile.name] <= profile.high
    assert held >= 11


def test_a_gate_seen_at_two_stages_leaves_the_forecast_open(make_sample: Callable[..., Points]) -> None:
    """More stages determine more: the forecast's spread along what is open shrinks."""
    held_out = make_sample("ptpp_gated_floor", (279.0,))
    spreads = []
    for ptpp in ((15.0, 31.0), (8.0, 15.0, 31.0, 120.0)):
        points = make_sample("ptpp_gated_floor", ptpp, noise=0.005)
        result = fit(REGISTRY["ptpp_gated_floor"], points, FitOptions(starts=60, bootstrap=0))
        low, high = identify(result, held_out).spread
        spreads.append(high - low)
    assert spreads[0] > 1.5 * spreads[1] > 0


def test_dropped_terms_are_among_the_sentences(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt", (15.0,), noise=1e-3)
    result = fit(REGISTRY["ptpp_gated"], points, FitOptions(starts=60, bootstrap=0))
    assert identify(result).sentences[0].startswith("1 distinct PTPP: the terms in P are dropped")
