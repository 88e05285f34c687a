"""The Forecast screen, driven by keys: what is drawn, what is told, what is written and queued."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.forecast import ForecastScreen
from odyssey_tui.widgets.chart import Chart
from store.workspace import Workspace
from tests.support.piloting import press, settle

WIDE = (120, 40)


async def open_forecast(pilot: Pilot) -> ForecastScreen:
    await settle(pilot)
    await press(pilot, "7")
    screen = pilot.app.base_screen
    assert isinstance(screen, ForecastScreen)
    return screen


def text_of(screen: ForecastScreen, selector: str) -> str:
    return str(screen.query_one(selector, Static).render())


async def test_keys_change_form_loss_axis_anchors_size_replay_and_budget(fitted: Workspace) -> None:
    async with OdysseyApp(fitted).run_test(size=WIDE) as pilot:
        screen = await open_forecast(pilot)
        first = screen._found
        await press(pilot, "f")
        assert screen._found.form != first.form
        await press(pilot, "a")
        assert screen._found.anchors == 3
        await press(pilot, "t")
        assert (screen._found.role, screen._found.anchors) == ("base", 3)
        await press(pilot, "a", "v")
        assert screen._found.anchors == 0
        assert screen._found.at.replay_ratio != first.at.replay_ratio
        await press(pilot, "s")
        assert screen._found.at.n_params != first.at.n_params
        assert "budget" not in {binding.binding.action for binding in screen.active_bindings.values()}
        await press(pilot, "x", "x")
        assert screen._found.x == "replay_ratio"
        before = screen._found.at.atpp
        await press(pilot, "b")
        assert screen._found.at.atpp != before
        await press(pilot, "x", "x")
        assert screen._found.x == "ptpp"


async def test_scores_parameters_and_what_is_left_open_are_there(fitted: Workspace) -> None:
    async with OdysseyApp(fitted).run_test(size=WIDE) as pilot:
        screen = await open_forecast(pilot)
        scores = text_of(screen, "#scores")
        assert all(row.form in scores for row in screen._found.scores)
        assert f"▸ {screen._found.form}" in scores
        assert "Left open by the data" in text_of(screen, "#facts")
        law = text_of(screen, "#law")
        assert all(f"\n{row.name} " in law for row in screen._found.parameters)
        assert len(screen.query_one(Chart).figure.lines) == 3
        assert "P 5, 15 → 45, 3 anchors  fit 1 of 2" in text_of(screen, "#basis")


async def test_the_errors_take_the_place_of_the_curves(fitted: Workspace) -> None:
    async with OdysseyApp(fitted).run_test(size=(80, 24)) as pilot:
        screen = await open_forecast(pilot)
        assert not screen.query_one("#residuals").display
        await press(pilot, "e")
        assert screen.query_one("#residuals").display
        figure = screen.query_one(Chart).figure
        assert not figure.lines
        assert sum(len(one.x) for one in figure.scatters) == len(screen._found.residuals)
        assert "held out" in text_of(screen, "#residuals")
        await press(pilot, "f")
        assert screen._found.form in screen.query_one(Chart).figure.title
        await press(pilot, "e")
        assert not screen.query_one("#residuals").display
        figure = screen.query_one(Chart).figure
        assert "calibration" in figure.title
        held_out = [one for one in screen._found.residuals if one.split == "score"]
        assert sum(len(one.x) for one in figure.scatters) == len(held_out)
        await press(pilot, "e")
        assert len(screen.query_one(Chart).figure.lines) == len(screen._found.tracks)


async def test_the_next_split_is_another_fit_run(fitted: Workspace) -> None:
    async with OdysseyApp(fitted).run_test(size=WIDE) as pilot:
        screen = await open_forecast(pilot)
        first = screen._found.split
        await press(pilot, "p")
        assert screen._found.split != first
        assert "fit 2 of 2" in text_of(screen, "#basis")
        assert screen._found.anchors == 0
        await press(pilot, "p")
        assert screen._found.split == first


async def test_a_file_is_written_in_the_form_its_name_asks_for(
    fitted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(fitted).run_test(size=WIDE) as pilot:
        screen = await open_forecast(pilot)
        await press(pilot, "e", "E")
        field = pilot.app.screen.query_one(Input)
        assert field.value == f"residuals-docs-target-{screen._found.form}.svg"
        field.value = "errors.csv"
        await press(pilot, "enter")
        assert len((tmp_path / "errors.csv").read_text().splitlines()) == 1 + len(screen._found.residuals)
        await press(pilot, "e", "E")
        assert pilot.app.screen.query_one(Input).value.startswith("calibration-docs-target-")
        pilot.app.screen.query_one(Input).value = "all.json"
        await press(pilot, "enter")
        assert json.loads((tmp_path / "all.json").read_text())["form"] == screen._found.form


async def test_a_new_fit_is_queued_from_a_line(own_voyage: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: None)
    async with OdysseyApp(own_voyage).run_test(size=WIDE) as pilot:
        await open_forecast(pilot)
        await press(pilot, "n")
        pilot.app.screen.query_one(Input).value = "anchors=2,4 forms=dcpt"
        await press(pilot, "enter")
        (ticket,) = (own_voyage.queue / "tickets").glob("fit-docs-*.json")
        spec = own_voyage.run(ticket.stem).spec()
        assert (spec["job"]["anchors"], spec["job"]["forms"]) == ([2, 4], ["dcpt"])
        await press(pilot, "n")
        pilot.app.screen.query_one(Input).value = "anchor=2"
        await press(pilot, "enter")
        assert any("no option of a fit" in note.message for note in pilot.app._notifications)


async def test_without_a_law_there_is_what_to_press(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_forecast(pilot)
        assert screen.has_class("-empty")
        assert "No law has been fitted" in screen.query_one(Chart)._empty
        await press(pilot, "f", "a", "p", "e", "x", "s", "v", "b", "d", "E", "t")
        assert not screen._troubles


async def test_the_runs_that_would_tell_most_are_offered(fitted: Workspace) -> None:
    async with OdysseyApp(fitted).run_test(size=WIDE) as pilot:
        screen = await open_forecast(pilot)
        at = screen._found.at
        await press(pilot, "w")
        assert isinstance(pilot.app.screen, ChooseScreen)
        assert f"ρ {at.replay_ratio:.3g}, ATPP {at.atpp:.3g} of s, P 45" in pilot.app.screen._title
        await press(pilot, "escape")
        assert pilot.app.screen is screen
