"""The Runs screen and the shell around it, by keys: state and messages at both sizes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.confirm import ConfirmScreen, TypedConfirmScreen
from odyssey_tui.screens.help import HelpScreen
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.screens.run_folds import Folds
from odyssey_tui.screens.runs import RunsScreen
from odyssey_tui.services.run_groups import RunGroup
from odyssey_tui.services.runs import RunRow
from odyssey_tui.settings import Settings
from odyssey_tui.widgets.bars import StatusBar
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.long_table import LongTable
from odyssey_tui.widgets.preview import Preview
from store.workspace import Workspace
from tests.support.piloting import press, settle

SMALL, LARGE = (80, 24), (120, 40)
ADAPTED, SUPPORTING = 20, 5
"""Runs of the synthetic workspace that adapt, and those they rest on."""
ESSENTIAL = {"state", "name", "replay", "ptpp", "atpp", "size", "delta_target", "delta_base"}


@asynccontextmanager
async def opened(
    workspace: Workspace, size: tuple[int, int] = SMALL, settings: Settings | None = None
) -> AsyncIterator[Pilot]:
    """The application on a workspace, with its first data on screen."""
    async with OdysseyApp(workspace, settings).run_test(size=size) as pilot:
        await settle(pilot)
        yield pilot


def table(pilot: Pilot) -> LongTable:
    return pilot.app.screen.query_one(LongTable)


def columns(pilot: Pilot) -> list[str]:
    return [column.key for column in table(pilot).columns]


def cell(pilot: Pilot, key: str, column: str) -> str:
    return table(pilot).cells(key)[columns(pilot).index(column)]


def names(pilot: Pilot) -> list[str]:
    """Names in the table, headings left out."""
    return [cell(pilot, key, "name") for key in table(pilot).keys if not key.startswith("group:")]


async def to_row(pilot: Pilot, name: str) -> None:
    """Put the cursor on a run."""
    keys = table(pilot).keys
    table(pilot).move_cursor(next(i for i, key in enumerate(keys) if cell(pilot, key, "name").strip() == name))
    await settle(pilot)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_runs_are_listed_under_their_experiment(voyage, size) -> None:
    async with opened(voyage, size) as pilot:
        assert isinstance(pilot.app.screen, RunsScreen)
        assert len(names(pilot)) == ADAPTED
        assert table(pilot).current == "group:demo"
        assert ("method" in columns(pilot)) == (size == LARGE)
        assert set(columns(pilot)) >= ESSENTIAL
        width = sum(column.width + 1 for column in table(pilot).columns)
        assert width <= size[0]
        assert "22 done" in str(pilot.app.screen.query_one(StatusBar).render())


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (200, 60)])
async def test_any_size_is_survived(voyage, size) -> None:
    async with opened(voyage, size) as pilot:
        await press(pilot, "j", "j", "enter")
        assert isinstance(pilot.app.screen, RunScreen)
        await press(pilot, "escape", "3")
        assert pilot.app.screen.SCOPE == "launch"


async def test_a_filter_narrows_and_escape_takes_it_back(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "slash", *"replay=0.5", "enter")
        assert [name for name in names(pilot) if "r0.5" in name] == names(pilot) != []
        await press(pilot, "escape")
        assert len(names(pilot)) == ADAPTED


async def test_a_wrong_filter_says_where_and_keeps_the_rows(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "slash", *"relpay=1")
        trouble = pilot.app.screen.query_one("#filter-trouble", Static)
        assert trouble.display
        assert "column 1" in str(trouble.render())
        assert "'replay'" in str(trouble.render())
        assert len(names(pilot)) == ADAPTED


async def test_a_filter_that_nothing_passes_says_so(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "slash", *"state=lost")
        assert pilot.app.screen.query_one("#nothing").display
        assert names(pilot) == []


async def test_digits_and_letters_are_text_while_a_field_has_the_focus(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "slash", *"3q?")
        assert isinstance(pilot.app.screen, RunsScreen)
        assert pilot.app.screen.query_one("#filter", Input).value == "3q?"


async def test_marks_survive_refresh_and_grouping(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "j", "space", "space", "r", "b")
        assert len(pilot.app.marked) == 2
        marked = [key for key in table(pilot).keys if cell(pilot, key, "mark") == "●"]
        assert sorted(marked) == sorted(pilot.app.marked)
        await press(pilot, "U")
        assert pilot.app.marked == []


async def test_groups_fold(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "enter")
        assert names(pilot) == []
        await press(pilot, "enter")
        assert len(names(pilot)) == ADAPTED


async def test_supporting_runs_are_folded_when_done_and_shown_by_a_filter(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "k", "enter")
        assert len(names(pilot)) == ADAPTED + SUPPORTING
        await press(pilot, "enter", "slash", *"kind=pretrain", "enter")
        assert names(pilot) == ["pretrain-xs", "pretrain-s"]


@pytest.mark.parametrize(("state", "folded"), [("done", True), ("running", False), ("failed", False)])
def test_supporting_runs_stay_in_sight_until_all_are_done(state, folded) -> None:
    rows = (RunRow("a-1", "a", "demo", "prepare", "done"), RunRow("b-1", "b", "demo", "pretrain", state))
    assert Folds().is_group_folded(RunGroup("demo", rows, supporting=True), filtered=False) == folded


async def test_a_group_previews_its_first_curves_and_says_how_many(voyage) -> None:
    async with opened(voyage, LARGE) as pilot:
        await press(pilot, "r")
        curves, note = pilot.app.screen.query_one(Preview).drawn
        assert len(curves) == 8
        assert {curve.branch for curve in curves} == {"trunk"}
        assert note.startswith("first 8 of ")


async def test_the_cursor_stays_on_its_run_when_the_order_changes(voyage) -> None:
    async with opened(voyage) as pilot:
        await to_row(pilot, "adapt-tests-r0-p15-s")
        current = table(pilot).current
        await press(pilot, "o", "o", "o")
        assert table(pilot).current == current


async def test_there_and_back(voyage) -> None:
    async with opened(voyage) as pilot:
        await to_row(pilot, "adapt-docs-r0-p5-s")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunScreen)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, RunsScreen)
        assert table(pilot).current.startswith("adapt-docs-r0-p5-s-")


async def test_help_lists_the_keys_that_act(voyage) -> None:
    async with opened(voyage, LARGE, Settings(keys={"runs.mark": "v"})) as pilot:
        await press(pilot, "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        rows = {action.id: keys for _, keys, action in pilot.app.screen._rows}
        assert rows["runs.mark"] == "v"
        assert rows["table.cursor_down"] == "j ↓"
        assert "runs.demo" not in rows
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, RunsScreen)


async def test_rebound_keys_act_and_the_old_ones_do_not(voyage) -> None:
    async with opened(voyage, settings=Settings(theme="odyssey-light", keys={"runs.mark": "v"})) as pilot:
        assert pilot.app.theme == "odyssey-light"
        await press(pilot, "j", "v")
        assert len(pilot.app.marked) == 1
        await press(pilot, "space")
        assert len(pilot.app.marked) == 1


async def test_the_palette_has_every_action(voyage) -> None:
    async with opened(voyage) as pilot:
        titles = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
        assert {"Open", "Mark", "Filter", "Group", "Cancel run", "Launch", "Refresh", "Theme light"} <= titles


async def test_the_palette_reaches_charts_and_tables_without_the_focus(voyage) -> None:
    async with opened(voyage) as pilot:
        await press(pilot, "slash", *"~adapt-docs-r0-p5-s", "enter", "j", "enter")
        chart = pilot.app.screen.query_one(Chart)
        pilot.app.screen.set_focus(None)
        commands = {command.title: command.callback for command in pilot.app.get_system_commands(pilot.app.screen)}
        before = chart.view
        await commands["Zoom in"]()
        assert chart.view != before


async def test_an_empty_workspace_offers_the_demo(empty) -> None:
    async with opened(empty) as pilot:
        assert pilot.app.screen.query_one("#welcome").display
        assert pilot.app.screen.check_action("demo", ())
        assert not pilot.app.screen.check_action("mark", ())


async def test_cancelling_a_live_run_asks_for_the_word(own_voyage, monkeypatch) -> None:
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)
    async with opened(own_voyage) as pilot:
        await to_row(pilot, "adapt-docs-r0-p5-xs")
        await press(pilot, "X")
        assert isinstance(pilot.app.screen, TypedConfirmScreen)
        await press(pilot, *"yes", "enter")
        assert isinstance(pilot.app.screen, TypedConfirmScreen)
        pilot.app.screen.query_one(Input).value = ""
        await press(pilot, *"cancel", "enter")
        assert isinstance(pilot.app.screen, RunsScreen)
        (request,) = (own_voyage.queue / "requests").glob("*.json")
        content = json.loads(request.read_text())
        assert content["action"] == "cancel"
        assert content["runs"][0].startswith("adapt-docs-r0-p5-xs-")


async def test_cancelling_a_waiting_run_asks_and_n_means_no(own_voyage) -> None:
    async with opened(own_voyage) as pilot:
        await to_row(pilot, "adapt-tests-r0-p5-xs")
        await press(pilot, "X")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await press(pilot, "n")
        assert isinstance(pilot.app.screen, RunsScreen)
        assert not list((own_voyage.queue / "requests").glob("*.json"))


async def test_a_failed_run_is_retried_and_a_done_one_is_not(own_voyage, monkeypatch) -> None:
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)
    async with opened(own_voyage) as pilot:
        await to_row(pilot, "adapt-docs-r0-p5-s")
        await press(pilot, "R")
        assert not list((own_voyage.queue / "requests").glob("*.json"))
        await to_row(pilot, "adapt-headers-r0-p5-xs")
        await press(pilot, "R")
        (request,) = (own_voyage.queue / "requests").glob("*.json")
        assert json.loads(request.read_text())["action"] == "retry"


async def test_a_waiting_run_is_held_here_and_on_its_page(own_voyage, monkeypatch) -> None:
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)
    async with opened(own_voyage) as pilot:
        await to_row(pilot, "adapt-docs-r0-p5-s")
        await press(pilot, "w")
        assert not list((own_voyage.queue / "requests").glob("*.json"))
        await to_row(pilot, "adapt-tests-r0-p5-xs")
        await press(pilot, "w", "enter", "w")
        asked = [json.loads(path.read_text()) for path in (own_voyage.queue / "requests").glob("*.json")]
        assert [request["action"] for request in asked] == ["hold", "hold"]


async def test_a_screen_that_shows_the_same_draws_nothing(voyage, monkeypatch) -> None:
    async with opened(voyage) as pilot:
        drawn: list[object] = []
        monkeypatch.setattr(RunsScreen, "show", lambda self, snapshot: drawn.append(snapshot))
        await press(pilot, "r")
        await press(pilot, "r")
        assert drawn == []


async def test_a_change_in_the_files_reaches_the_table(own_voyage) -> None:
    async with opened(own_voyage) as pilot:
        run_id = next(name for name in own_voyage.run_ids() if name.startswith("adapt-docs-r0-p5-xs"))
        with own_voyage.run(run_id).latest_attempt().events.open("a") as journal:
            journal.write('{"seq": 9999, "t": 1800000000.0, "event": "done", "seconds": 1.0}\n')
        pilot.app.look_now()
        await settle(pilot)
        await settle(pilot)
        assert cell(pilot, run_id, "state") == "✓ done"


async def test_marked_curves_are_drawn_where_there_is_room(voyage) -> None:
    async with opened(voyage, LARGE) as pilot:
        await to_row(pilot, "adapt-docs-r0-p5-s")
        screen = pilot.app.screen
        assert screen.query_one("#preview").display
        assert {curve.label for curve in screen.query_one(Preview).drawn[0]} >= {"adapt-docs-r0-p5-s"}
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert not screen.query_one("#preview").display


async def test_q_leaves_and_ctrl_c_says_that_it_interrupted(voyage) -> None:
    async with opened(voyage) as pilot:
        await pilot.press("ctrl+c")
    assert pilot.app.return_code == 130
    async with opened(voyage) as pilot:
        await pilot.press("q")
    assert pilot.app.return_code == 0


async def test_an_action_of_the_palette_is_done(voyage) -> None:
    async with opened(voyage) as pilot:
        table = pilot.app.screen.query_one(LongTable)
        before = table.cursor_row
        commands = {command.title: command.callback for command in pilot.app.get_system_commands(pilot.app.screen)}
        await commands["Down"]()
        assert table.cursor_row == before + 1
        await commands["Help"]()
        assert isinstance(pilot.app.screen, HelpScreen)
