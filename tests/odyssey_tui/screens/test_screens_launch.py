"""The Launch screen: composing, refusing, asking, queueing."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.confirm import ConfirmScreen
from odyssey_tui.screens.launch import LaunchScreen
from odyssey_tui.screens.runs import RunsScreen
from odyssey_tui.widgets.keyed_table import KeyedTable
from store.workspace import Workspace
from tests.support.piloting import press, settle


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch) -> None:
    """What is queued stays queued."""
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)


async def open_launch(pilot: Pilot) -> LaunchScreen:
    await settle(pilot)
    await press(pilot, "3")
    await settle(pilot)
    assert isinstance(pilot.app.screen, LaunchScreen)
    return pilot.app.screen


def verdict(screen: LaunchScreen) -> str:
    return str(screen.query_one("#verdict", Static).render())


def cells(screen: LaunchScreen) -> int:
    """How many adaptations launching would start."""
    return sum(run.kind == "adapt" for run in screen._snapshot.composition.new)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_form_is_prefilled_and_expanded(empty, size) -> None:
    async with OdysseyApp(empty).run_test(size=size) as pilot:
        screen = await open_launch(pilot)
        assert screen.query_one("#domain", Input).value == "tests"
        assert screen.focused.id == "replay_ratio"
        assert cells(screen) == 4 * 3 * 3
        assert verdict(screen).startswith(f"{len(screen._snapshot.composition.new)} new runs")


async def test_a_sweep_is_queued_with_few_keys(empty: Workspace) -> None:
    keys = ["3", *".3,.4", "enter", "L", "y"]
    assert len(keys) < 15
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key in keys:
            await press(pilot, key)
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunsScreen)
        assert pilot.app.screen.query_one(KeyedTable).current.startswith("prepare-")
        created = [name for name in empty.run_ids() if name.startswith("adapt-")]
        assert len(created) == 2 * 3 * 3
        assert all("-r0.3-" in name or "-r0.4-" in name for name in created)
        assert {path.stem for path in empty.tickets.glob("*.json")} == set(empty.run_ids())
        assert len(list(empty.experiments.glob("*.yaml"))) == 1


async def test_typed_while_it_expands_l_still_asks(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await pilot.press(*".3", "enter", "L")
        await settle(pilot)
        await settle(pilot)
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert cells(screen) == 3 * 3
        assert pilot.app.screen._text.startswith(verdict(screen))


async def test_the_trigger_key_does_not_confirm(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        await open_launch(pilot)
        await press(pilot, "enter", "L", "L")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await press(pilot, "escape")
        assert empty.run_ids() == []


async def test_a_refused_value_is_told_in_place(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, *"1.5")
        assert "at most 1" in verdict(screen)
        assert screen.query_one("#field-replay_ratio").has_class("-refused")
        await press(pilot, "enter", "L")
        assert isinstance(pilot.app.screen, LaunchScreen)
        screen.query_one("#replay_ratio", Input).value = "0.5"
        await settle(pilot)
        assert not screen.query_one("#field-replay_ratio").has_class("-refused")
        assert "new runs" in verdict(screen)
        assert cells(screen) == 3 * 3


async def test_what_exists_is_not_started_again(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        await open_launch(pilot)
        await press(pilot, *"0.3", "enter", "L", "y")
        await settle(pilot)
        screen = await open_launch(pilot)
        assert screen.query_one("#replay_ratio", Input).value == "0.3"
        assert "0 new runs" in verdict(screen)
        await press(pilot, "enter", "L")
        assert isinstance(pilot.app.screen, LaunchScreen)


async def test_another_experiment_can_be_chosen(empty: Workspace, tmp_path: Path) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        await open_launch(pilot)
        await press(pilot, *"0.3", "enter", "L", "y")
        await settle(pilot)
        screen = await open_launch(pilot)
        await press(pilot, "escape", "e")
        assert isinstance(pilot.app.screen, ChooseScreen)
        await press(pilot, "j", "enter")
        assert screen.query_one("#replay_ratio", Input).value == "0, 0.1, 0.25, 0.5"
