"""Parts of a change, rows, classes, correlations and sentences of a drift whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from odyssey_tui.services.drift import (
    FEWEST_POSITIONS,
    MOST_TYPES,
    DriftReport,
    Split,
    from_result,
    percent,
    split_change,
    tell_correlations,
    tell_drift,
)
from tests.support.drift_results import make_result


@pytest.fixture
def report() -> DriftReport:
    return from_result(make_result())


def test_either_order_and_their_mean() -> None:
    before, after, output, hidden = 2.0, 3.0, 2.3, 2.9
    split = Split(*split_change(before, after, output, hidden))
    orders = {"output first": (output - before, after - output), "hidden first": (after - hidden, hidden - before)}
    assert split.change == pytest.approx(1.0)
    assert split.from_output == pytest.approx(np.mean([out for out, _ in orders.values()]))
    assert split.from_hidden == pytest.approx(np.mean([hid for _, hid in orders.values()]))
    assert split.from_hidden + split.from_output == pytest.approx(split.change)
    assert split.order_gap == pytest.approx(abs(orders["output first"][0] - orders["hidden first"][0]))
    assert split.order_gap == pytest.approx(abs(orders["output first"][1] - orders["hidden first"][1]))


def test_parts_of_types_add_up(report: DriftReport) -> None:
    rows = report.rows()
    assert rows[0].text == "\\n"
    assert [row.contribution for row in rows] == sorted((row.contribution for row in rows), reverse=True)
    for row in rows:
        assert row.from_hidden + row.from_output == pytest.approx(row.contribution)
        assert (row.loss_after - row.loss_before) * row.count / report.positions == pytest.approx(row.contribution)
    for name in ("contribution", "from_hidden", "from_output"):
        whole = getattr(report.split, "change" if name == "contribution" else name)
        assert sum(getattr(row, name) for row in rows) == pytest.approx(whole)
        assert sum(getattr(row, name) for row in report.class_rows()) == pytest.approx(whole)
    assert [row.token_id for row in report.rows(3)] == [row.token_id for row in rows[:3]]
    newline = next(row for row in report.class_rows() if row.token_class == "newline")
    assert (newline.n_types, newline.count, newline.hidden_drift) == (1, rows[0].count, rows[0].hidden_drift)


def test_the_sentence_names_the_worst_type_and_both_parts(report: DriftReport) -> None:
    whole, worst, moves = tell_drift(report)
    assert f"{report.positions:,} positions: " in whole
    t = report.positions
    assert worst == (
        f"Of the rise on \\n (+{45 / t:.4f}), +{40 / t:.4f} comes from the hidden states, +{5 / t:.4f} from the output "
        f"embeddings (± {0.5 / t:.4f} by which change is made first)."
    )
    assert "25.0% of their length on average (cosine 0.900)" in moves
    assert "the input embeddings by 10.0% and the output embeddings by 20.0%" in moves


def test_a_part_of_the_text_is_told() -> None:
    told = next(tell_drift(from_result({**make_result(), "predicted": 123_456})))
    assert "positions of 123,456, windows that lie evenly over it" in told


def test_tied_embeddings_are_one() -> None:
    report = from_result(make_result(tied=True))
    *_, moves = tell_drift(report)
    assert "the embeddings (one matrix for input and output) by 10.0%" in moves
    assert list(report.correlations) == ["hidden_drift", "input_drift"]


def test_what_did_not_move_is_said_and_correlates_with_nothing() -> None:
    report = from_result(make_result(moved=False))
    *_, moves = tell_drift(report)
    assert moves.endswith("the input embeddings not at all and the output embeddings not at all.")
    assert report.correlations["input_drift"].r is None
    assert len(tell_correlations(report)) == 1
    assert "±" not in next(tell_drift(report))


def test_where_nothing_rises_nothing_is_said_to_rise() -> None:
    result = make_result()
    types = result["types"]
    types["sum_after"] = [before - 1 for before in types["sum_before"]]
    assert list(tell_drift(from_result(result)))[1] == "No token type rises."


def test_correlations_are_over_types_with_enough_positions() -> None:
    result = make_result(40)
    result["types"]["n"][:7] = [FEWEST_POSITIONS - 1] * 7
    result["types"]["input_drift"][8] = None
    report = from_result(result)
    assert report.correlations["hidden_drift"].n == 33
    assert report.correlations["input_drift"].n == 32
    assert tell_correlations(report)[0].startswith("c_v with the drift of the hidden states that predict it: ρ = ")
    assert from_result(make_result(MOST_TYPES + 9)).correlations["hidden_drift"].n == MOST_TYPES


def test_a_perfect_order_is_found() -> None:
    result = make_result(30)
    types = result["types"]
    rise = np.array(types["sum_after"]) - types["sum_before"]
    types["hidden_drift"] = (1 + rise - rise.min()).tolist()
    assert from_result(result).correlations["hidden_drift"].r == pytest.approx(1.0)


def test_what_is_not_defined_is_a_dash() -> None:
    result = make_result()
    result["types"]["input_drift"][5] = result["types"]["input_cosine"][5] = None
    (worst,) = from_result(result).rows(1)
    assert math.isnan(worst.input_drift)
    assert [percent(value) for value in (math.nan, 0.0, 2e-6, 0.0042, 0.123)] == ["–", "0", "<.01%", "0.42%", "12.3%"]
