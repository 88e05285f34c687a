"""Forecasts and plans: curves, bands, limits, what binds when nothing is feasible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.fit import FitOptions, fit
from engine.laws.forecast import Setting, forecast
from engine.laws.forms import REGISTRY
from engine.laws.law import Law
from engine.laws.planner import Limits, Stage, plan
from engine.laws.points import Points

N, P = 1.0e5, 31.0
START_TARGET, START_BASE = 3.9, 2.8


def law_of(form: str, role: str, params: dict[str, float], scatter: float = 0.0) -> Law:
    """A law with known natural parameters and 40 draws, each coefficient scattered by a factor."""
    known = REGISTRY[form]
    values = np.array([params[name] for name in known.names])
    draws = np.repeat(values[None], 40, axis=0)
    first = [position for position, parameter in enumerate(known.parameters) if parameter.log]
    draws[:, first] *= np.exp(scatter * np.random.default_rng(0).standard_normal((40, len(first))))
    ranges = {"N": (5e4, 2e5), "P": (15.0, 31.0), "D": (1e5, 1e6), "A": (1.0, 8.0), "rho": (0.0, 0.75)}
    return Law(known, role, params, draws, 21.0, ranges)


def target_law(scatter: float = 0.0) -> Law:
    """L = 2 + 20 (1 - rho)^0.5 / D^0.3 + a floor that grows with replay."""
    values = {"E": 2.0, "A": 0.0, "alpha": 0.3, "B": 20.0, "beta": 0.3, "eta": 0.01, "C": 0.2, "eps": 0.1, "gamma": 0.5}
    return law_of("dcpt", "target", values, scatter)


def base_law(scatter: float = 0.0) -> Law:
    """L = L0 + rise: more with tokens, less with replay."""
    return law_of("forgetting_pinned", "base", {"A": 0.004, "beta": 0.5, "alpha": 0.1, "B": 400.0}, scatter)


def stage() -> Stage:
    return Stage(N, P, START_TARGET, START_BASE)


def rise(rho: float, atpp: float) -> float:
    return 0.004 * (atpp * N) ** 0.5 / ((1 + 400.0 * rho) * N) ** 0.1


def test_the_cheapest_cell_meets_the_limits_and_nothing_cheaper_does() -> None:
    limits = Limits(forgetting=0.5, target_loss=2.75)
    ratios, budgets = np.linspace(0, 0.9, 31), np.linspace(1, 8, 29)
    result = plan(target_law(), base_law(), stage(), limits, replay_ratio=ratios, atpp=budgets)
    target = target_law().params
    feasible = {}
    for rho in ratios:
        for atpp in budgets:
            loss = target["E"] + 20 * (1 - rho) ** 0.01 / (atpp * N) ** 0.3 + 0.2 / (1 - rho + 0.1) ** 0.5
            if loss <= 2.75 and rise(rho, atpp) <= 0.5:
                feasible[rho, atpp] = (6 * N * N * atpp, loss)
    assert result.feasible.sum() == len(feasible) > 0
    assert result.feasible.sum() < result.feasible.size
    best = min(feasible, key=lambda cell: feasible[cell])
    assert (result.choice.replay_ratio, result.choice.atpp) == pytest.approx(best)
    assert result.choice.flops == pytest.approx(6 * N * best[1] * N)
    assert result.choice.forgetting == pytest.approx(rise(*best), rel=1e-9)
    assert result.choice.probability == 1.0


def test_best_under_a_compute_limit_is_the_lowest_target_loss() -> None:
    limits = Limits(forgetting_share=0.2, flops=6 * N * N * 5.0)
    result = plan(target_law(), base_law(), stage(), limits, goal="best")
    assert result.forgetting_limit == pytest.approx(0.2 * START_BASE)
    allowed = (result.forgetting <= 0.2 * START_BASE) & (result.flops <= 6 * N * N * 5.0)
    assert result.choice.target_loss == pytest.approx(result.target_loss[allowed].min())


def test_limited_domain_data_allows_more_tokens_with_more_replay() -> None:
    result = plan(target_law(), base_law(), stage(), Limits(target_tokens=2 * N), atpp=[1.0, 2.0, 4.0])
    by_budget = [result.replay_ratio[result.feasible[:, column]].min() for column in range(3)]
    assert by_budget[0] == by_budget[1] == 0.0
    assert by_budget[2] == pytest.approx(0.5, abs=0.03)


def test_probability_comes_from_the_draws() -> None:
    limits = Limits(forgetting=0.5, target_loss=2.75)
    result = plan(target_law(0.05), base_law(0.05), stage(), limits)
    assert ((result.probability > 0) & (result.probability < 1)).any()
    inside, outside = result.probability[result.feasible], result.probability[~result.feasible]
    assert inside.mean() > 0.5 > outside.mean()
    without = replace(base_law(), draws=np.empty((0, 4)))
    assert np.isnan(plan(target_law(), without, stage(), limits).probability).all()


def test_an_impossible_limit_says_which_and_by_how_much() -> None:
    result = plan(target_law(), base_law(), stage(), Limits(target_loss=2.0))
    assert result.choice is None
    (sentence,) = result.shortfalls
    lowest = result.target_loss.min() - 2.0
    assert "target loss cannot be met on its own" in sentence
    assert f"exceeds it by {lowest:.3g} nats" in sentence


def test_limits_that_only_conflict_each_name_their_shortfall() -> None:
    limits = Limits(forgetting=0.31, target_loss=2.66)
    for single in (replace(limits, forgetting=None), replace(limits, target_loss=None)):
        assert plan(target_law(), base_law(), stage(), single).choice is not None
    both = plan(target_law(), base_law(), stage(), limits)
    assert both.choice is None
    assert len(both.shortfalls) == 2
    assert all("together with the others" in sentence for sentence in both.shortfalls)


def test_the_answer_among_candidates_joins_the_grid() -> None:
    limits = Limits(forgetting=0.5, target_loss=2.75)
    ratios, budgets = np.linspace(0, 0.9, 181), np.geomspace(1, 8, 97)
    pairs = tuple(axis.ravel() for axis in np.meshgrid(ratios, budgets, indexing="ij"))
    coarse = {"replay_ratio": [0.0, 0.3, 0.6, 0.9], "atpp": [1.0, 2.0, 4.0, 8.0]}
    result = plan(target_law(0.05), base_law(0.05), stage(), limits, **coarse, candidates=pairs)
    fine = plan(target_law(0.05), base_law(0.05), stage(), limits, replay_ratio=ratios, atpp=budgets)
    assert result.choice == fine.choice
    assert result.choice.flops < plan(target_law(0.05), base_law(0.05), stage(), limits, **coarse).choice.flops
    assert set(coarse["atpp"]) <= set(result.atpp.tolist())
    assert len(result.atpp) <= 5
    row, column = (
        list(result.replay_ratio).index(result.choice.replay_ratio),
        list(result.atpp).index(result.choice.atpp),
    )
    assert result.cell(row, column) == result.choice
    assert result.feasible[row, column]


def test_a_sure_answer_is_the_cheapest_that_holds_in_so_many_draws() -> None:
    ratios, budgets = np.linspace(0, 0.9, 37), np.geomspace(1, 8, 33)
    pairs = tuple(axis.ravel() for axis in np.meshgrid(ratios, budgets, indexing="ij"))
    limits = Limits(forgetting=0.5, target_loss=2.75)
    laws = (target_law(0.05), base_law(0.05), stage())
    every = plan(*laws, limits, replay_ratio=ratios, atpp=budgets)
    wanted = np.where(every.feasible & (every.probability >= 0.9), every.flops, np.inf)
    for given in (
        {"replay_ratio": ratios, "atpp": budgets},
        {"replay_ratio": [0.0], "atpp": [1.0], "candidates": pairs},
    ):
        sure = plan(*laws, replace(limits, probability=0.9), **given)
        assert sure.choice.probability >= 0.9
        assert sure.choice.flops == pytest.approx(wanted.min())
        assert sure.choice.flops > every.choice.flops
    vague = (target_law(0.3), base_law(0.3), stage())
    hopeless = plan(*vague, replace(limits, probability=0.9), replay_ratio=ratios, atpp=budgets)
    assert hopeless.choice is None
    assert "No cell meets the limits in 90% of the draws: the surest" in hopeless.shortfalls[0]
    bare = replace(base_law(), draws=np.empty((0, 4)))
    with pytest.raises(LawError, match="needs bootstrap draws"):
        plan(laws[0], bare, stage(), replace(limits, probability=0.9))


def test_reach_is_told_of_every_budget() -> None:
    far = plan(target_law(), base_law(), Stage(8e5, 310.0, START_TARGET, START_BASE), Limits(), atpp=[0.5, 2.0, 16.0])
    assert [set(reach) for reach in far.reach] == [{"N", "P", "A"}, {"N", "P", "D"}, {"N", "P", "D", "A"}]
    assert far.reach[2] == pytest.approx({"N": 4.0, "P": 10.0, "D": 12.8, "A": 2.0})


def test_extrapolation_is_a_warning() -> None:
    far = Stage(8e5, 310.0, START_TARGET, START_BASE)
    result = plan(target_law(), base_law(), far, Limits(forgetting=2.0))
    text = " ".join(result.warnings)
    assert "N is 4× beyond the points of the target and base law" in text
    assert "P is 10× beyond" in text
    hopeless = plan(target_law(), base_law(), far, Limits(target_loss=0.001))
    assert hopeless.choice is None
    assert "P is 10× beyond" in " ".join(hopeless.warnings)
    assert plan(target_law(), base_law(), stage(), Limits(forgetting=0.5), atpp=[1, 2, 4]).warnings == (
        "The answer lies at the edge of the ATPP grid: widen it.",
    )


def test_forgetting_needs_a_form_exact_at_zero() -> None:
    blind = replace(target_law(), role="base")
    with pytest.raises(LawError, match="not exact at D = 0"):
        plan(target_law(), blind, stage(), Limits(forgetting=0.1))
    with pytest.raises(LawError, match="a target law and a base law"):
        plan(base_law(), base_law(), stage(), Limits())


def test_an_unmeasured_zero_shot_loss_is_forecast_with_its_draws() -> None:
    curve = law_of("chinchilla", "base", {"E": 2.0, "A": 20.0, "alpha": 0.3, "B": 30.0, "beta": 0.35}, scatter=0.02)
    known = float(2.0 + 20.0 / N**0.3 + 30.0 / (P * N) ** 0.35)
    unknown = Stage(N, P, START_TARGET, curve)
    limits = Limits(forgetting_share=0.2)
    result = plan(target_law(), base_law(), unknown, limits, atpp=[2.0, 4.0])
    measured = plan(target_law(), base_law(), replace(unknown, base_zero_shot=known), limits, atpp=[2.0, 4.0])
    np.testing.assert_allclose(result.base_loss, measured.base_loss)
    assert ((result.probability > 0) & (result.probability < 1)).any()
    assert set(np.unique(measured.probability)) <= {0.0, 1.0}


def test_the_pareto_front_is_not_dominated() -> None:
    result = plan(target_law(), base_law(), stage(), Limits())
    budget = 6 * N * N * 4.0
    front = result.pareto(budget)
    assert len(front) > 3
    assert all(cell.flops <= budget for cell in front)
    inside = result.flops <= budget
    for cell in front:
        better = inside & (result.target_loss < cell.target_loss) & (result.forgetting <= cell.forgetting)
        assert not better.any()


def test_forecast_curves_have_bands_and_marks_beyond_the_data(make_sample: Callable[..., Points]) -> None:
    points = make_sample("ptpp_additive", noise=0.005)
    law = fit(REGISTRY["ptpp_additive"], points, FitOptions(starts=60, bootstrap=60)).law
    grid = np.geomspace(0.5, 40, 30)
    near, far = (forecast(law, Setting(8.7e4, ptpp, 0.25), "atpp", grid) for ptpp in (15.0, 279.0))
    truth = make_sample("ptpp_additive", (15.0,))
    at = (truth.n_params == 8.7e4) & (truth.replay_ratio == 0.25)
    measured = np.interp(truth.atpp[at], near.x, near.loss)
    np.testing.assert_allclose(measured, truth.loss[at], rtol=0.01)
    assert (near.low <= near.loss).mean() > 0.9
    assert (near.loss <= near.high).mean() > 0.9
    assert (far.high - far.low).mean() > (near.high - near.low).mean()
    np.testing.assert_array_equal(near.outside, grid > 10 * (1 + 1e-9))
    assert far.extrapolation["P"] == pytest.approx(9.0)
    assert near.extrapolation == {"A": pytest.approx(4.0), "D": pytest.approx(40 * 8.7e4 / 1.41e6)}
    by_share = forecast(law, Setting(8.7e4, 31, float("nan"), atpp=4.0), "replay_ratio", [0.0, 0.25, 0.5])
    assert by_share.loss[1] == pytest.approx(forecast(law, Setting(8.7e4, 31, 0.25), "atpp", [4.0]).loss[0])


def test_a_forecast_says_what_it_lacks(make_sample: Callable[..., Points]) -> None:
    points = make_sample("zero_shot", noise=0.005)
    law = fit(REGISTRY["zero_shot"], points, FitOptions(starts=60, bootstrap=0)).law
    with pytest.raises(LawError, match="needs zero_shot_loss"):
        forecast(law, Setting(8.7e4, 15, 0.25), "atpp", [1.0])
    curve = forecast(law, Setting(8.7e4, 15, 0.25, zero_shot_loss=3.7), "atpp", [0.0, 1.0])
    assert curve.loss[0] == 3.7
    assert np.isnan(curve.low).all()
    with pytest.raises(LawError, match="between 0 and 1"):
        forecast(law, Setting(8.7e4, 15, 0.25, zero_shot_loss=3.7), "atpp", [1.0], level=90)


def test_the_measured_base_loss_is_the_quality_that_a_law_plans_with() -> None:
    values = {"E": 1.0, "F": 0.5, "phi": 1.0, "B": 20.0, "beta": 0.3, "eta": 0.01, "kappa": 0.0, "nu": 0.0}
    law = law_of("quality", "target", {**values, "C": 0.2, "eps": 0.1, "gamma": 0.5})
    ratios, budgets = [0.2], [4.0]
    found = plan(law, base_law(), stage(), Limits(), replay_ratio=ratios, atpp=budgets)
    expected = 1.0 + 0.5 * START_BASE + 20.0 * 0.8**0.01 / (4.0 * N) ** 0.3 + 0.2 / 0.9**0.5
    assert found.target_loss[0, 0] == pytest.approx(expected)
    pretraining = law_of("chinchilla", "base", {"E": 2.0, "A": 0.0, "alpha": 0.3, "B": 20.0, "beta": 0.3})
    forecast_only = replace(stage(), base_zero_shot=replace(pretraining, ranges={}))
    with pytest.raises(LawError, match="measured zero-shot loss on the base corpus"):
        plan(law, base_law(), forecast_only, Limits(), replay_ratio=ratios, atpp=budgets)
