"""Budgets on a trajectory are met exactly, whatever the share of the annealed branch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan import expand
from engine.plan.trajectory import plan_trajectory, state_name
from engine.spec.run import Training
from store.errors import ConfigError


def _training(**changes: Any) -> Training:
    return Training(**{"lr": 1e-3, "sequence": 64, "batch_sequences": 8, **changes})


def test_trunk_and_branch_add_up_to_the_budget() -> None:
    trajectory = plan_trajectory("ptpp", (20, 5), 6400, _training(anneal_share=0.25))
    small, large = trajectory.points
    assert (small.state, small.branch, small.end) == ("ptpp5", 400, 500)
    assert (large.state, large.branch, large.end) == ("ptpp20", 1600, 2000)
    assert trajectory.sequences == 1600 + 100 + 400
    assert trajectory.annealed
    assert trajectory.rates(small).rate(450) == pytest.approx(0.5e-3)


def test_without_annealing_the_branch_is_the_remainder_of_a_step() -> None:
    trajectory = plan_trajectory("atpp", (1, 2), 64 * 50, _training(anneal_share=0))
    assert [(point.branch, point.end) for point in trajectory.points] == [(48, 50), (96, 100)]
    assert not trajectory.annealed
    assert trajectory.rates(trajectory.points[0]).rate(49) == 1e-3


@given(
    budgets=st.lists(st.floats(0.5, 300), min_size=1, max_size=6, unique=True),
    share=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]),
    batch=st.integers(1, 40),
    accumulate=st.integers(1, 3),
    n_params=st.integers(500, 5000),
)
def test_any_budgets(budgets: list[float], share: float, batch: int, accumulate: int, n_params: int) -> None:
    training = _training(anneal_share=share, batch_sequences=batch, accumulate=accumulate)
    ends = [round(budget * n_params / 64) for budget in sorted(budgets)]
    if len(set(ends)) < len(ends):
        with pytest.raises(ConfigError, match="are the same"):
            plan_trajectory("ptpp", budgets, n_params, training)
        return
    points = plan_trajectory("ptpp", budgets, n_params, training).points
    step = batch * accumulate
    assert [point.end for point in points] == ends
    for point in points:
        assert point.branch % step == 0
        assert 0 <= point.branch <= point.end
        assert share == 0 or point.branch < point.end
        # The branch begins within a step of where the share says.
        assert abs(point.branch - point.end / (1 + share)) <= step
    assert [point.branch for point in points] == sorted(point.branch for point in points)


def test_warm_up_is_over_before_half_of_the_smallest_trunk() -> None:
    long = plan_trajectory("ptpp", (1, 100), 6400, _training(warmup_share=0.01, anneal_share=0))
    assert long.schedule.warmup == 48
    short = plan_trajectory("ptpp", (50, 100), 6400, _training(warmup_share=0.01, anneal_share=0))
    assert short.schedule.warmup == 100


def test_a_decaying_schedule_serves_one_budget() -> None:
    with pytest.raises(ConfigError, match="'cosine' cannot serve 2 budgets"):
        plan_trajectory("ptpp", (1, 2), 6400, _training(schedule="cosine"))
    trajectory = plan_trajectory("ptpp", (2,), 6400, _training(schedule="cosine"))
    assert trajectory.annealed
    assert trajectory.points[0].branch == trajectory.points[0].end == 200
    assert trajectory.schedule.rate(200) == pytest.approx(0)
    raised = plan_trajectory("ptpp", (2,), 6400, _training(schedule="linear", min_lr_share=0.1, warmup_share=0))
    assert [raised.rates(raised.points[0]).rate(at) for at in (100, 200)] == pytest.approx([0.55e-3, 1e-4])


def test_a_constant_trunk_with_warm_up_in_tokens_serves_each_budget_as_alone() -> None:
    for schedule in ("constant", "wsd"):
        training = _training(schedule=schedule, warmup_tokens=64 * 30, anneal_shape="sqrt", min_lr_share=0.1)
        many = plan_trajectory("ptpp", (1, 2, 30), 6400, training)
        for point in many.points:
            alone = plan_trajectory("ptpp", (point.budget,), 6400, training)
            assert alone.points == (point,)
            assert alone.schedule == many.schedule
            assert alone.rates(point) == many.rates(point)
        assert many.schedule.rate(15) == pytest.approx(0.5e-3)
        assert many.rates(many.points[0]).rate(many.points[0].end) == pytest.approx(1e-4)


def test_an_infinite_schedule_cools_down_and_stays() -> None:
    training = _training(
        schedule="infinite", warmup_tokens=64 * 100, cooldown_share=0.5, constant_lr_share=0.4, min_lr_share=0.1
    )
    trajectory = plan_trajectory("ptpp", (5, 20), 6400, training)
    # The largest budget is 2,000 sequences: warm-up to 100, cool-down to 1,100.
    rates = [trajectory.schedule.rate(at) for at in (50, 100, 600, 1100, 1900)]
    assert rates == pytest.approx([0.5e-3, 1e-3, 0.7e-3, 0.4e-3, 0.4e-3])
    early, late = trajectory.points
    assert trajectory.annealed
    for point in (early, late):
        assert trajectory.rates(point).rate(point.branch) == pytest.approx(trajectory.schedule.rate(point.branch))
        assert trajectory.rates(point).rate(point.end) == pytest.approx(1e-4)


def test_what_no_schedule_can_do_is_said() -> None:
    with pytest.raises(ConfigError, match="'wsd' has no decay"):
        plan_trajectory("ptpp", (1,), 6400, _training(schedule="wsd", anneal_share=0))
    with pytest.raises(ConfigError, match=r"6,464 tokens outlast the 5,632 before ptpp1 leaves the trunk"):
        plan_trajectory("ptpp", (1, 5), 6400, _training(warmup_tokens=64 * 101))


def test_a_budget_below_one_sequence() -> None:
    with pytest.raises(ConfigError, match=r"ptpp0.001 is 6.4 tokens"):
        plan_trajectory("ptpp", (0.001,), 6400, _training())


@pytest.mark.parametrize("budget", [0.25, 0.5, 1, 4.0, 15, 62.5, 279])
def test_states_are_called_what_the_plan_calls_them(budget: float) -> None:
    assert state_name("ptpp", budget) == expand.state_name("ptpp", budget)


def test_states_of_large_token_budgets_have_distinct_names() -> None:
    assert [state_name("tokens", n) for n in (1_000_000, 1_000_001)] == ["tokens1000000", "tokens1000001"]
