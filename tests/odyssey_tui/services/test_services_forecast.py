"""Forecasts and plans from stored fits."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.laws.errors import LawError
from engine.laws.planner import Limits
from odyssey_tui.plots.readout import precise, read_out
from odyssey_tui.services.fit_words import open_lines
from odyssey_tui.services.forecast import forecast
from odyssey_tui.services.forecast_curves import AXES
from odyssey_tui.services.forecast_figure import color_of, draw_forecast, draw_residuals, draw_view, label_of
from odyssey_tui.services.forecast_record import exportable
from odyssey_tui.services.plan import Asked, cheapest
from odyssey_tui.services.plan_basis import DEFAULT_FORGETTING, experiment_limits
from odyssey_tui.services.planning_words import tell_answer
from odyssey_tui.services.stored_laws import read_family
from store.database import lease
from store.files import write_atomic, write_json
from store.queries.runs import find_run
from store.workspace import Workspace
from tests.odyssey_tui.real_fits import fit_for_real
from tests.support import synthetic_law as law


def test_curves_points_and_bands(fitted: Workspace) -> None:
    found = forecast(fitted)
    assert [round(track.ptpp) for track in found.tracks] == [5, 15, 45]
    assert [track.held_out for track in found.tracks] == [False, False, True]
    assert {mark.split for mark in found.marks if mark.group == 2} <= {"score", "anchor"}
    assert {mark.split for mark in found.marks if mark.group < 2} == {"fit"}
    for track in found.tracks:
        assert all(low <= high for low, high in zip(track.low, track.high, strict=True))
        assert all(math.isfinite(loss) for loss in track.loss)


def test_marks_are_named_by_the_ptpp_that_are_drawn(own_voyage: Workspace) -> None:
    """Those that were neither fitted nor held out have no colour and no name."""
    fit_for_real(own_voyage, forms=("dcpt",), fit_ptpp=law.FIT_PTPP[1:])
    found = forecast(own_voyage)
    assert [round(ptpp) for ptpp in found.ptpps] == [15, 45]
    by_ptpp = {f"P {track.ptpp:.3g}": color_of(found, place) for place, track in enumerate(found.tracks)}
    named = {one.label.removesuffix(" held out"): one.color for one in draw_forecast(found).scatters}
    assert named == by_ptpp


def test_the_cross_hair_reads_curves_with_their_bands(fitted: Workspace) -> None:
    found = forecast(fitted)
    readings = {(one.label, one.text) for one in read_out(draw_forecast(found), found.tracks[0].x[3], log_x=True)}
    for track in found.tracks:
        low, high = precise(track.low[3]), precise(track.high[3])
        assert (label_of(track), f"{precise(track.loss[3])} [{low}, {high}]") in readings


def test_the_curve_goes_through_what_the_fit_predicted(fitted: Workspace) -> None:
    from store.queries.fits import read_points

    found = forecast(fitted, form="ptpp_gated_floor", size="s", replay_ratio=0.25)
    with lease(fitted) as con:
        fit_id = con.execute(
            "SELECT fit_id FROM fits WHERE form = 'ptpp_gated_floor' AND role = 'target' AND run_id = 'fit-docs-real3' "
            "AND scores->>'anchors' = '0'"
        ).fetchall()[0][0]
        stored = read_points(con, fit_id)
    track = found.tracks[2]
    for point in stored:
        if point.split == "score" and point.n_params == 400_000 and point.replay_ratio == 0.25:
            nearest = min(range(len(track.x)), key=lambda i: abs(track.x[i] - point.adapt_tokens))
            assert track.loss[nearest] == pytest.approx(point.predicted, rel=0.01)


def test_the_default_form_is_the_best_on_held_out_points(fitted: Workspace) -> None:
    found = forecast(fitted)
    without = [row for row in found.scores if row.anchors == 0 and "shift" not in row.form]
    assert found.form == min(without, key=lambda row: row.mape).form
    assert [row.form for row in found.scores if row.shown] == [found.form]
    assert len({row.n for row in found.scores}) == 1


@pytest.mark.parametrize("axis", list(AXES))
def test_every_axis_draws_or_says_why_not(fitted: Workspace, axis: str) -> None:
    found = forecast(fitted, x=axis, form="ptpp_gated_floor")
    if not found.tracks:
        assert "too few values of N" in found.reason
        assert axis == "n_params"
        return
    figure = draw_forecast(found)
    assert AXES[axis] in figure.render(100, 24, color=False)
    assert any(scatter.marker == "○" for scatter in figure.scatters)


def test_anchors_roles_sizes_and_replay_ratios_can_be_chosen(fitted: Workspace) -> None:
    found = forecast(fitted, form="dcpt", anchors=3, role="base", size="xs", replay_ratio=0.4)
    assert found.anchors == 3
    assert found.at.n_params == 100_000
    assert found.at.replay_ratio == 0.5
    assert found.choices.roles == ("target", "base")
    assert "chinchilla" not in found.choices.forms
    assert any("chinchilla on base states" in fact for fact in found.facts)


def test_the_number_of_anchors_is_kept_where_the_form_has_such_a_fit(fitted: Workspace) -> None:
    found = forecast(fitted, form="dcpt", anchors="any")
    assert (found.anchors, found.choices.anchors) == (3, (0, 3))
    assert forecast(fitted, form="dcpt", anchors=7).anchors == 0


def test_along_ptpp_there_is_one_curve_through_the_measured_points(fitted: Workspace) -> None:
    found = forecast(fitted, form="ptpp_gated_floor", x="ptpp", size="s", replay_ratio=0.25, atpp=2.0)
    (track,) = found.tracks
    assert len(track.x) > 10
    assert {round(mark.x) for mark in found.marks} == {5, 15, 45}
    assert found.at.atpp == pytest.approx(2.0)
    assert [one.label for one in draw_forecast(found).lines] == ["law"]


def test_a_law_that_reads_the_loss_before_adaptation_is_drawn_through_the_checkpoints(fitted: Workspace) -> None:
    from store.queries.fits import read_points

    found = forecast(fitted, form="zero_shot", x="ptpp", size="s", replay_ratio=0.25, atpp=4.0)
    (track,) = found.tracks
    assert [round(value) for value in track.x] == [5, 15, 45]
    with lease(fitted) as con:
        (fit_id,) = con.execute(
            "SELECT fit_id FROM fits WHERE form = 'zero_shot' AND role = 'target' AND run_id = 'fit-docs-real3' "
            "AND scores->>'anchors' = '0'"
        ).fetchone()
        points = read_points(con, fit_id)
    on_slice = [p for p in points if (p.n_params, p.replay_ratio, round(p.atpp)) == (400_000, 0.25, 4)]
    stored = {round(p.ptpp): p.predicted for p in on_slice}
    assert dict(zip(map(round, track.x), track.loss, strict=True)) == pytest.approx(stored, rel=1e-3)


def test_splits_are_the_fit_runs_of_the_domain_the_newest_first(fitted: Workspace) -> None:
    found = forecast(fitted)
    first, second = found.choices.splits
    assert (first.run_id, first.name) == ("fit-docs-real3", "P 5, 15 → 45, 3 anchors")
    assert second.name == "P 5, 15 → 45"
    assert found.split == first.run_id
    for name in ("2", second.run_id, second.run_id[:-2]):
        assert forecast(fitted, split=name).split == second.run_id
    with pytest.raises(LawError, match="'fit-docs' names several fits of docs") as error:
        forecast(fitted, split="fit-docs")
    assert "1 fit-docs-real3: P 5, 15 → 45, 3 anchors" in error.value.hint
    with pytest.raises(LawError, match="'9' is no fit of docs"):
        forecast(fitted, split="9")


def test_parameters_stand_with_their_intervals(fitted: Workspace) -> None:
    rows = {row.name: row for row in forecast(fitted, form="ptpp_gated_floor").parameters}
    assert rows["alpha"].note == "dropped"
    assert rows["beta"].low <= rows["beta"].value <= rows["beta"].high
    assert any(row.note == "open" for row in rows.values())


def test_residuals_are_the_errors_at_every_point_by_axis(fitted: Workspace) -> None:
    found = forecast(fitted, form="ptpp_gated_floor")
    held_out = [one for one in found.residuals if one.split == "score"]
    shown = next(row for row in found.scores if row.shown)
    assert len(held_out) == shown.n
    assert 100 * sum(abs(one.error) for one in held_out) / len(held_out) == pytest.approx(shown.mape)
    rows = {(row.axis, round(row.value, 2)): row for row in found.residual_rows}
    assert {axis for axis, _ in rows} == {"P", "N", "ρ", "A"}
    assert rows["P", 45.0].n_held_out == len(held_out)
    assert rows["P", 45.0].size_held_out == pytest.approx(shown.mape / 100)
    assert rows["P", 5.0].n_held_out == 0
    assert rows["P", 5.0].size_held_out is None
    figure = draw_residuals(found)
    assert sum(len(one.x) for one in figure.scatters) == len(found.residuals)
    assert any(one.marker == "○" for one in figure.scatters)


def test_the_calibration_is_of_the_held_out_points(fitted: Workspace) -> None:
    found = forecast(fitted, form="ptpp_gated_floor")
    held_out = [one for one in found.residuals if one.split == "score"]
    figure = draw_view(found, "calibration")
    drawn = sorted((x, y) for one in figure.scatters for x, y in zip(one.x, one.y, strict=True))
    assert drawn == sorted((one.predicted, one.loss) for one in held_out)
    labels = dict(found.choices.sizes)
    sizes = sorted({one.n_params for one in held_out})
    assert [one.label for one in figure.scatters] == [f"N {labels[n]}" for n in sizes]
    equal, fitted_line = figure.lines
    assert equal.x.tolist() == equal.y.tolist()
    shown = next(row for row in found.scores if row.shown)
    slope = (fitted_line.y[1] - fitted_line.y[0]) / (fitted_line.x[1] - fitted_line.x[0])
    assert slope == pytest.approx(shown.slope)
    assert f"slope {shown.slope:.2f}" in figure.note
    assert len(exportable(found, "calibration").rows) == len(held_out) < len(found.residuals)


def test_what_is_exported_has_the_view_on_screen(fitted: Workspace) -> None:
    found = forecast(fitted, form="dcpt", anchors=3)
    curves, errors = exportable(found), exportable(found, "residuals")
    assert curves.stem == "forecast-docs-target-dcpt-3-anchors"
    assert curves.suffixes == errors.suffixes == (".svg", ".png", ".csv", ".tex", ".json")
    assert len(errors.rows) == len(found.residuals)
    assert curves.record["parameters"]


def test_what_the_data_leave_open_is_told(fitted: Workspace) -> None:
    found = forecast(fitted)
    assert not any("do not determine" in fact for fact in found.facts)
    assert found.open
    assert all(float(one.low) < float(one.high) and one.cost.endswith("%") for one in found.open)
    head, *lines = open_lines(found.open)
    assert "Left open" in head
    assert [line.split()[0] for line in lines] == [one.name for one in found.open]
    assert any("3× in P" in warning for warning in found.warnings)
    assert "Fitted at P = 5, 15 to 24 points of 8 runs" in found.facts[0]
    assert found.stale == ""


def test_unknown_names_are_errors_with_the_known_ones(fitted: Workspace) -> None:
    with pytest.raises(LawError, match="no law form 'dcptt'"):
        forecast(fitted, form="dcptt")
    with pytest.raises(LawError) as error:
        forecast(fitted, form="gadre")
    assert "dcpt" in error.value.hint
    with pytest.raises(LawError) as error:
        forecast(fitted, domain="poems")
    assert "docs" in error.value.hint
    with pytest.raises(LawError) as error:
        forecast(fitted, size="xxl")
    assert "xs, s" in error.value.hint


def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    found = forecast(workspace)
    assert "No law" in found.reason
    assert "odyssey fit" in found.hint
    assert draw_forecast(found).is_empty
    assert cheapest(workspace).reason == found.reason


def test_the_plan_meets_its_limits(fitted: Workspace) -> None:
    answer = cheapest(fitted, Asked(Limits(forgetting=0.2, target_loss=2.6)))
    cell = answer.choice
    assert answer.goal == "cheapest"
    assert cell.forgetting <= 0.2
    assert cell.target_loss <= 2.6
    assert 0 <= cell.probability <= 1
    costs = [option.cell.flops for option in answer.options if option.cell is not None]
    assert cell.flops <= min(costs) * 1.0001
    assert answer.base_form == "zero_shot"
    assert f"ρ = {cell.replay_ratio:.3g}" in tell_answer(answer)[0]


def test_a_gain_is_a_target_loss_below_the_zero_shot_one(fitted: Workspace) -> None:
    gained = cheapest(fitted, Asked(Limits(forgetting=0.5), target_gain=0.2))
    target = gained.model.target_zero_shot - 0.2
    assert gained.goal == "cheapest"
    assert gained.choice == cheapest(fitted, Asked(Limits(forgetting=0.5, target_loss=target))).choice
    assert "0.2 below zero-shot" in gained.limits[1]
    stricter = cheapest(fitted, Asked(Limits(forgetting=0.5, target_loss=0.0), target_gain=0.2))
    assert stricter.choice is None
    assert stricter.limits[1] == "target loss ≤ 0 nats"


def test_without_limits_those_of_the_launched_experiment_hold(fitted: Workspace) -> None:
    with lease(fitted) as con:
        family = read_family(con, None, None)
        assert experiment_limits(fitted, "demo").forgetting == DEFAULT_FORGETTING
        name = find_run(con, family.run_id).experiment
        launched = fitted.experiments / f"{name}-0.yaml"
        write_atomic(launched, "limits: {forgetting: 0.4, target_gain: 0.1}")
        write_json(launched.with_suffix(".json"), {"name": name, "key": "0", "launched": 0.0, "runs": []})
        wanted = experiment_limits(fitted, name)
        launched.unlink()
        launched.with_suffix(".json").unlink()
    assert (wanted.forgetting, wanted.target_gain) == (0.4, 0.1)


def test_a_limit_that_cannot_be_met_says_by_how_much(fitted: Workspace) -> None:
    answer = cheapest(fitted, Asked(Limits(forgetting=0.0001)))
    assert answer.choice is None
    assert "Nothing in the grid meets forgetting" in tell_answer(answer)[0]
    assert any("exceeds it by" in line for line in answer.shortfalls)


def test_the_best_plan_stays_within_the_measured_budgets(fitted: Workspace) -> None:
    answer = cheapest(fitted, Asked(Limits(forgetting=5.0)))
    assert answer.goal == "best"
    assert answer.choice.atpp == pytest.approx(4.0)
    assert answer.model.n_params == 400_000
    assert answer.model.ptpp == pytest.approx(45)


def test_plans_that_the_laws_cannot_serve_are_refused(voyage: Workspace, fitted: Workspace) -> None:
    with pytest.raises(LawError, match="exact at D = 0"):
        cheapest(voyage)
    with pytest.raises(LawError, match="no size 'huge'"):
        cheapest(fitted, Asked(size="huge"))
    with pytest.raises(LawError, match="too few values of N"):
        cheapest(fitted, Asked(size="8.1e9", ptpp=30))
