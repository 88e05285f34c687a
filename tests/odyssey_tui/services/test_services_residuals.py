"""Errors by axis: hand-computed means, and when errors are said to go with an axis."""

from __future__ import annotations

import pytest

from odyssey_tui.services.residuals import find_lean, list_residuals, share_between, summarise
from store.queries.fits import FitPoint


def point(number: int, split: str, ptpp: float, replay: float, predicted: float | None, loss: float = 2.0) -> FitPoint:
    return FitPoint(
        number, split, f"run-{number}", 1000, ptpp, 4000, 4.0, replay, 1 - replay, loss, 2.5, predicted, "", 1.0
    )


def test_means_and_sizes_are_those_of_the_points() -> None:
    residuals = list_residuals(
        [
            point(0, "fit", 8.0, 0.0, 2.02),
            point(1, "fit", 8.1, 0.5, 1.96),
            point(2, "score", 64.0, 0.0, 2.1),
            point(3, "anchor", 64.0, 0.5, 2.0),
            point(4, "excluded", 64.0, 0.5, 9.0),
            point(5, "fit", 8.0, 0.5, None),
        ]
    )
    assert [one.error for one in residuals] == pytest.approx([0.01, -0.02, 0.05, 0.0])
    rows = {(row.axis, row.value): row for row in summarise(residuals)}
    assert {axis for axis, _ in rows} == {"P", "ρ"}
    (eight,) = (row for (axis, value), row in rows.items() if axis == "P" and value < 10)
    assert (eight.n_fit, eight.n_held_out) == (2, 0)
    assert eight.bias_fit == pytest.approx(-0.005)
    assert eight.size_fit == pytest.approx(0.015)
    assert eight.bias_held_out is None
    assert (rows["P", 64.0].n_fit, rows["P", 64.0].n_held_out) == (1, 1)
    assert rows["ρ", 0.0].bias_held_out == pytest.approx(0.05)


def test_errors_are_said_to_go_with_an_axis_only_where_they_do() -> None:
    leaning = [point(n, "score", 64.0, n % 2 / 2, 2.0 + (0.1 if n % 2 else -0.02)) for n in range(12)]
    (lean,) = find_lean(list_residuals(leaning))
    assert (lean.axis, lean.split) == ("ρ", "held-out")
    assert lean.share == pytest.approx(1.0)
    assert "on average −1.0 % at ρ = 0, +5.0 % at ρ = 0.5" in lean.sentence
    even = [point(n, "score", 64.0, n % 2 / 2, 2.0 + 0.01 * (n // 2 % 3)) for n in range(12)]
    assert find_lean(list_residuals(even)) == ()
    assert find_lean(list_residuals(leaning[:4])) == ()


def test_the_share_between_groups() -> None:
    assert share_between([[1.0, 1.0], [3.0, 3.0]]) == pytest.approx(1.0)
    assert share_between([[1.0, 3.0], [1.0, 3.0]]) == 0.0
    assert share_between([[2.0], [2.0]]) == 0.0
