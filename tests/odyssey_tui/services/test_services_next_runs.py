"""Next runs from laws whose parameters are known: candidates, ranking, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.planner import Limits
from odyssey_tui.services.next_runs import NextRuns, list_trajectories, next_runs, tell_run, tell_runs, wanted
from odyssey_tui.services.plan import Asked, solve
from odyssey_tui.services.plan_basis import Source
from tests.support.plans import PTPPS, SIZES, make_source, measured


def ask(source: Source, number: int = 4, **options: object) -> NextRuns:
    found = solve(source, Asked(Limits(forgetting=0.5), size="2e5", ptpp=62.0))
    return next_runs(source, found, 0.25, 4.0, number, **options)


def holes(source: Source) -> Source:
    """Without the larger model at the higher PTPP but for one mix, and without its largest budgets."""
    points = source.measured
    gone = (points.n_params == 1e5) & (points.ptpp == 31.0) & ((points.replay_ratio > 0) | (points.atpp > 2))
    return replace(source, measured=points.select(~gone))


def test_candidates_are_what_is_not_measured() -> None:
    found, notes = list_trajectories(holes(make_source()), 0.3, 4.0)
    states = {state for states in found for state in states}
    points = measured()
    known = set(zip(points.n_params, points.ptpp, points.replay_ratio, points.atpp, strict=True))
    back = {state for state in states & known}
    assert back == {(1e5, 31.0, rho, a) for rho in (0.0, 0.25, 0.5, 0.75) for a in (1.0, 2.0, 4.0, 8.0)} - {
        (1e5, 31.0, 0.0, 1.0), (1e5, 31.0, 0.0, 2.0)
    }  # fmt: skip
    assert {state[2] for state in states} == {0.0, 0.125, 0.25, 0.3, 0.375, 0.5, 0.625, 0.75}
    assert {state[:2] for state in states} == {(n, p) for n in SIZES for p in PTPPS}
    assert notes == ("12 trajectories are measured already.",)


def test_the_list_is_by_what_is_told_per_cost() -> None:
    source = holes(make_source())
    runs = ask(source)
    assert runs.per == "PFLOP"
    assert len(runs.runs) == 4
    falls = [run.fall for run in runs.runs]
    assert all(0 < fall < 1 for fall in falls)
    for run in runs.runs:
        assert run.worth == pytest.approx(run.fall / (run.flops / 1e15))
        assert run.flops == pytest.approx(6 * run.n_params**2 * run.atpp[-1])
        assert run.target_after <= run.target_before
        assert run.base_after <= run.base_before
    worth = [run.worth for run in runs.runs]
    assert worth == sorted(worth, reverse=True)
    for one, other in zip(runs.runs, runs.runs[1:], strict=False):
        assert other.target_before == pytest.approx(one.target_after)
    assert "per PFLOP" in tell_runs(runs)[0]
    assert f"ATPP ≤ {runs.runs[0].atpp[-1]:.3g}" in tell_run(runs.runs[0])
    assert wanted(runs, runs.runs[0]).size in ("xs", "s")


def test_hours_count_where_the_speed_is_known() -> None:
    source = holes(make_source())
    slow_when_small = ask(source, rate=lambda n: 1e9 if n < 7e4 else 1e12)
    assert slow_when_small.per == "hour"
    assert slow_when_small.runs[0].n_params == 1e5
    assert slow_when_small.runs[0].seconds == pytest.approx(slow_when_small.runs[0].flops / 1e12)
    assert ask(source, rate=lambda n: None).per == "PFLOP"


def test_states_whose_start_the_law_needs_and_nobody_measured_are_left_out() -> None:
    source = holes(make_source())

    def start(role: str, n_params: float, ptpp: float) -> float:
        if n_params == 5e4:
            raise LawError("unknown")
        return 2.8

    runs = ask(replace(source, start=start))
    assert {run.n_params for run in runs.runs} == {1e5}
    assert any("cannot judge" in note for note in runs.notes)


def test_a_law_of_one_ptpp_judges_no_other() -> None:
    source = holes(make_source())
    one = replace(source.target, dropped=("P",), ranges={**source.target.ranges, "P": (62.0, 62.0)})
    with pytest.raises(LawError, match="Nothing is left to run"):
        ask(replace(source, target=one))


def test_too_few_draws_say_what_to_do() -> None:
    source = holes(make_source())
    with pytest.raises(LawError, match="takes 20 bootstrap draws") as refused:
        ask(replace(source, target=replace(source.target, draws=source.target.draws[:5])))
    assert "--bootstrap" in refused.value.hint


def test_everything_measured_leaves_other_mixes() -> None:
    runs = ask(make_source())
    assert {run.replay_ratio for run in runs.runs} <= {0.125, 0.375, 0.625}
    assert np.isfinite([run.worth for run in runs.runs]).all()
