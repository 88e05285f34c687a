"""Plans over a map: the four problems, the axes, the marks and the words, by laws whose parameters are known."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.planner import Limits
from odyssey_tui.services.plan import Asked, solve
from odyssey_tui.services.plan_axes import list_budgets
from odyssey_tui.services.plan_cells import (
    VIEWS,
    draw_cells,
    draw_map,
    exportable,
    list_cells,
    place_labels,
    tell_cell,
)
from odyssey_tui.services.plan_svg import draw_plan
from odyssey_tui.services.planning_words import tell_answer
from tests.support.plans import START, make_source, reached, rise


def test_the_cheapest_is_finer_than_the_map_and_on_it() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5, target_loss=2.75)))
    cell = found.answer.choice
    assert found.answer.goal == "cheapest"
    assert rise(cell.replay_ratio, cell.atpp) == pytest.approx(cell.forgetting)
    assert reached(cell.replay_ratio, cell.atpp) == pytest.approx(cell.target_loss)
    assert cell.forgetting <= 0.5
    assert cell.target_loss <= 2.75
    cheaper = [(r, a) for r in np.arange(0, 0.76, 0.005) for a in np.arange(0.5, 0.96 * cell.atpp, 0.01)]
    assert not any(rise(r, a) <= 0.5 and reached(r, a) <= 2.75 for r, a in cheaper)
    row, column = found.choice
    assert found.grid.cell(row, column) == cell
    assert draw_cells(found, "probability")[row][column][1] == "★"


def test_the_map_has_the_measured_cells() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5)))
    assert {0.0, 0.25, 0.5, 0.75} <= set(found.grid.replay_ratio.tolist())
    assert {1.0, 2.0, 4.0, 8.0} <= set(found.grid.atpp.tolist())
    assert len(found.measured) == 16
    elsewhere = solve(make_source(), Asked(Limits(forgetting=0.5), size="2e5"))
    assert elsewhere.measured == frozenset()


def test_limited_domain_text_fixes_the_budget_of_every_mix() -> None:
    tokens = 2e5
    found = solve(make_source(), Asked(Limits(forgetting=0.45, target_tokens=tokens), problem="limited"))
    cell = found.answer.choice
    assert cell.atpp * 1e5 * (1 - cell.replay_ratio) == pytest.approx(tokens)
    mixes = np.arange(0, 0.75, 0.001)
    budgets = tokens / ((1 - mixes) * 1e5)
    met = [reached(r, a) for r, a in zip(mixes, budgets, strict=True) if rise(r, a) <= 0.45]
    assert cell.target_loss == pytest.approx(min(met), abs=2e-3)
    with pytest.raises(LawError, match="say how much there is"):
        solve(make_source(), Asked(problem="limited"))


def test_the_front_is_at_one_budget() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.45), problem="pareto", atpp=3.0))
    assert {cell.atpp for cell in found.answer.front} == {3.0}
    assert found.answer.choice.atpp == 3.0
    assert found.answer.choice in found.answer.front
    (column,) = {column for _, column in found.front}
    assert found.grid.atpp[column] == 3.0
    largest = solve(make_source(), Asked(Limits(flops=6 * 1e10 * 4.5), problem="pareto"))
    assert {cell.atpp for cell in largest.answer.front} == {4.0}


def test_the_best_does_not_leave_the_measured_budgets() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=5.0)))
    assert found.answer.goal == "best"
    assert found.answer.choice.atpp == 8.0
    assert found.grid.atpp[-1] == 16.0


def test_options_are_the_best_of_each_listed_ratio() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5, target_loss=2.75)))
    ratios = [option.replay_ratio for option in found.answer.options]
    assert ratios == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    for option in found.answer.options:
        budgets = np.geomspace(0.5, 16, 4000)
        met = [a for a in budgets if rise(option.replay_ratio, a) <= 0.5 and reached(option.replay_ratio, a) <= 2.75]
        assert bool(met) == (option.cell is not None)
        if met:
            assert option.cell.atpp == pytest.approx(min(met), rel=0.05)
            assert 0 < option.cell.probability <= 1


def test_every_view_can_be_read_without_colour() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5, target_loss=2.75)))
    for view in VIEWS:
        cells = draw_cells(found, view)
        assert {len(text) for row in cells for text in row} == {2}
        assert len({text[0] for row in cells for text in row}) >= 3
        lines = draw_map(found, view)
        assert len(lines) == 1 + len(found.grid.replay_ratio)
        assert max(map(len, lines)) <= 80
    outside = [text for row in draw_cells(found, "target_loss") for text in row if text[1] == "·"]
    assert outside
    assert sum(text.count("★") for row in cells for text in row) == 1


def test_rows_say_what_the_map_shows() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5), size="2e5", ptpp=62.0))
    rows = list_cells(found)
    assert len(rows) == found.grid.feasible.size
    assert sum(row["choice"] for row in rows) == 1
    assert {row["reach_N"] for row in rows} == {2.0}
    assert {row["reach_P"] for row in rows} == {2.0}
    assert max(row["reach_D"] for row in rows) == pytest.approx(16 * 2e5 / 8e5)
    at = found.choice
    told = dict(tell_cell(found, at))
    assert told["beyond the fit"].startswith("×2 N, ×2 P")
    assert f"{found.answer.choice.target_loss - START['target']:+.3f}".replace("-", "−") in told["target loss"]


def test_limits_that_nothing_meets_say_which_and_how_far() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5, target_loss=2.0)))
    assert found.choice is None
    assert "target loss cannot be met on its own" in tell_answer(found.answer)[1]
    assert not any("★" in text for row in draw_cells(found, "probability") for text in row)


def test_without_draws_cells_are_in_or_out() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5)))
    source = make_source()
    bare = replace(source, target=replace(source.target, draws=source.target.draws[:0]))
    without = solve(bare, Asked(Limits(forgetting=0.5)))
    assert without.answer.choice.replay_ratio == found.answer.choice.replay_ratio
    assert {text[0] for row in draw_cells(without, "probability") for text in row} == {" ", "█"}
    assert "no draws" in dict(tell_cell(without, without.choice))["feasible"]


def test_budgets_are_round_and_few() -> None:
    assert list_budgets(1.0, 8.0, (1.0, 2.0, 4.0, 8.0)).tolist() == [
        0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0, 10.0, 12.5, 16.0
    ]  # fmt: skip
    assert len(list_budgets(0.01, 1000.0, (0.01, 1000.0))) <= 22
    assert list_budgets(3.0, 3.0, (3.0,)).tolist() == [1.6, 2.0, 2.5, 3.0, 4.0, 5.0]


def test_labels_never_touch() -> None:
    labels = ["0.5", "0.63", "0.8", "1"]
    assert place_labels(labels, 2, 8) == [(0, "0.5"), (4, "0.8")]
    assert place_labels(labels, 2, 8, first=1) == [(2, "0.63")]
    assert [label for _, label in place_labels(labels, 5, 20)] == labels


def test_the_map_is_a_figure() -> None:
    found = solve(make_source(), Asked(Limits(forgetting=0.5, target_loss=2.75)))
    for view in VIEWS:
        drawn = ElementTree.fromstring(draw_plan(found, view))
        texts = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert sum(text.endswith("★") for text in texts) == 1
        assert {f"{value:.3g}" for value in found.grid.atpp.tolist()} <= set(texts)
        assert any("forgetting ≤ 0.5 nats" in text and "Cheapest: ρ" in text for text in texts)
        cells = [element for element in drawn.iter("{http://www.w3.org/2000/svg}rect") if element.get("x")]
        assert len(cells) == found.grid.feasible.size + 1
    assert exportable(found).suffixes == (".svg", ".png", ".csv", ".tex", ".json")
