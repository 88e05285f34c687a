"""Averages of noisy lines, and what the cross-hair reads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.readout import extent, precise, read_out
from odyssey_tui.plots.series import View
from odyssey_tui.plots.smoothing import STRENGTHS, average, smoothed, stronger
from odyssey_tui.plots.svg import draw_svg


def by_hand(values: np.ndarray, strength: float) -> list[float]:
    """The recursion that the sums stand for."""
    total = weight = 0.0
    found = []
    for value in values:
        finite = math.isfinite(value)
        total, weight = strength * total + (value if finite else 0.0), strength * weight + finite
        found.append(total / weight if finite else math.nan)
    return found


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_the_average_is_that_of_the_recursion(strength) -> None:
    values = np.random.default_rng(3).normal(2.0, 1.0, 3_001)
    values[[0, 17, 18, 2_999]] = [math.nan, math.inf, -math.inf, math.nan]
    np.testing.assert_allclose(average(values, strength), by_hand(values, strength), rtol=1e-6)


def test_no_strength_changes_nothing_but_what_is_not_finite() -> None:
    np.testing.assert_array_equal(average(np.array([1.0, math.inf, 3.0]), 0.0), [1.0, math.nan, 3.0])
    assert len(average(np.array([]), 0.9)) == 0


def test_only_noisy_lines_are_smoothed_and_the_values_stay_in_sight() -> None:
    x = np.arange(50.0)
    figure = Figure("t").line(x, np.sin(x), "measured", noisy=True).line(x, x / 50, "law")
    assert smoothed(figure, 0.0) is figure
    shown = smoothed(figure, 0.9)
    raw, line, law = shown.lines
    assert (raw.faint, raw.label, line.label, line.derived, law.derived) == (True, "", "measured", True, False)
    np.testing.assert_array_equal(raw.y, figure.lines[0].y)
    assert "smoothed 0.9" in shown.note
    assert "smoothed" not in figure.note
    drawn = figure.page(60, 16, view=View(smoothing=0.9))
    inks = {ink.color for row in range(16) for _, ink in drawn.runs(row)}
    plain = figure.page(60, 16)
    assert len(inks) == len({ink.color for row in range(16) for _, ink in plain.runs(row)}) + 1
    assert "smoothed 0.9" in draw_svg(figure, view=View(smoothing=0.9))
    assert 'stroke-opacity="0.4"' in draw_svg(figure, view=View(smoothing=0.9))


def test_points_are_counted_once_however_they_are_drawn() -> None:
    x = np.arange(10_000.0)
    y = np.where(x == 5, math.nan, x % 7)
    figure = Figure("t").line(x, y, "run", noisy=True)
    for view in (View(), View(smoothing=0.95)):
        head = figure.render(90, 12, color=False, view=view).split("\n")[0]
        assert "10,000 points" in head
        assert "1 not drawable" in head


def test_keys_step_through_the_strengths_and_stop_at_both_ends() -> None:
    assert stronger(0.0, 1) == STRENGTHS[1]
    assert stronger(STRENGTHS[-1], 1) == STRENGTHS[-1]
    assert stronger(0.0, -1) == 0.0


def test_the_cross_hair_reads_the_nearest_point_of_each_series() -> None:
    figure = Figure("t").line([1, 10, 100], [3, 2, 1], "run", color=0).line([1, 2], [5, 4], "short", color=1)
    figure.band([1, 10, 100], [2.9, 1.9, 0.9], [3.1, 2.1, 1.1], "run", color=0)
    figure.scatter([4, 90], [7, 8], "points", color=2, names=("near", "far"))
    near = {reading.label: reading for reading in read_out(figure, 2.4)}
    assert (near["run"].x, near["run"].y, near["run"].text) == (1, 3, "3 [2.9, 3.1]")
    assert near["short"].y == 4
    assert near["points"].text == "near: (4, 7)"
    # Nearness is by ratio on a logarithmic axis, and a line is not read beyond its end.
    by_ratio = {reading.label: reading for reading in read_out(figure, 4.0, log_x=True)}
    assert by_ratio["run"].y == 2
    assert "short" not in by_ratio
    assert extent(figure) == (1, 100)
    assert extent(Figure("t")) is None


def test_what_the_cross_hair_reads_stands_in_the_legend() -> None:
    figure = Figure("t", "tokens").line([1, 2, 3], [3, 2, 1], "run", noisy=True)
    text = figure.render(60, 16, color=False, view=View(cursor=2.0))
    assert "tokens = 2" in text
    assert "run 2" in text
    assert "◎" in text
    assert "◎" not in figure.render(60, 16, color=False)


@pytest.mark.parametrize("size", [(1, 1), (20, 5), (8, 4), (250, 80)])
def test_any_size_and_any_values_are_survived(size) -> None:
    x = np.array([1.0, 2.0, math.inf, 4.0])
    figure = Figure("t").line(x, [math.nan, 1.0, 2.0, -3.0], "run", noisy=True)
    for cursor in (0.0, 3.0, -1e300, 1e300):
        for log in (True, False):
            drawn = figure.render(*size, view=View(smoothing=0.9, cursor=cursor, log_x=log, log_y=log))
            assert len(drawn.split("\n")) == size[1]


def test_numbers_are_precise_and_short() -> None:
    assert [precise(value) for value in (3.21444, 12.34567, 1_350_000.0, 0.00002, 0.0, -2.5)] == [
        "3.2144",
        "12.346",
        "1,350,000",
        "2.000e-5",
        "0",
        "-2.5",
    ]
