"""Round ticks and the words on them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from odyssey_tui.plots.ticks import linear_ticks, log_ticks, short


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 12))
def test_linear_ticks_are_round_evenly_spaced_and_inside(low: float, span: float, count: int) -> None:
    assume(span > abs(low) * 1e-9)
    high = low + span
    ticks = linear_ticks(low, high, count)
    assert ticks
    assert all(low - span * 1e-6 <= tick.at <= high + span * 1e-6 for tick in ticks)
    assert len(ticks) <= count + 1
    if len(ticks) > 1:
        steps = [b.at - a.at for a, b in pairwise(ticks)]
        mantissa = steps[0] / 10.0 ** math.floor(math.log10(steps[0]) + 1e-9)
        assert min(abs(mantissa - good) for good in (1, 2, 2.5, 5, 10)) < 1e-3
        assert max(steps) - min(steps) < steps[0] * 1e-6 + abs(high) * 1e-12


@given(st.floats(-12, 12), st.floats(0.001, 24), st.integers(1, 12))
def test_log_ticks_are_inside(low: float, span: float, count: int) -> None:
    ticks = log_ticks(low, low + span, count)
    assert ticks
    assert all(low - 1e-6 <= tick.at <= low + span + 1e-6 for tick in ticks)


def test_labels_of_one_axis_share_decimals_and_suffix() -> None:
    assert [tick.label for tick in linear_ticks(0, 40e6, 4)] == ["0", "10M", "20M", "30M", "40M"]
    assert [tick.label for tick in linear_ticks(2.4, 3.6, 5)] == ["2.50", "2.75", "3.00", "3.25", "3.50"]
    assert [tick.label for tick in log_ticks(3, 7, 5)] == ["1k", "10k", "100k", "1M", "10M"]


def test_less_than_two_decades_get_twos_and_fives() -> None:
    assert [tick.label for tick in log_ticks(math.log10(150), math.log10(6000), 6)] == ["200", "500", "1k", "2k", "5k"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (1500, "1.5k"), (2e7, "20M"), (3e-5, "3e-5"), (-0.5, "-0.5")]
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text
