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
from odyssey_tui.services.launch import compose_whole, launch
from odyssey_tui.widgets.keyed_table import KeyedTable
from store.errors import DataError
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.tiny import write_experiment


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


async def test_the_format_audit_is_made_in_the_background_and_stays(empty: Workspace, tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    path.write_text(path.read_text().replace("domain: poems,", "domain: poems, newlines: strip,"))
    launch(empty, compose_whole(empty, path, ()))
    async with OdysseyApp(empty).run_test(size=(120, 40)) as pilot:
        screen = await open_launch(pilot)
        audit = screen.query_one("#audit", Static)
        assert "not audited yet · a: audit the texts" in str(audit.render())
        await press(pilot, "escape", "a")
        await settle(pilot)
        told = str(audit.render())
        assert told.startswith("format audit: 3 pairs of texts, 1 serious, 1 caution · ✗ poems (stripped) → poems: the")
        assert audit.has_class("-serious")
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        assert "1 serious" in str(screen.query_one("#audit", Static).render())


async def test_an_audit_that_fails_is_told_and_can_be_asked_for_again(empty: Workspace, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DataError("the text is gone", "Bring it back.")

    monkeypatch.setattr("odyssey_tui.services.audit.ask", refuse)
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "escape", "a")
        await settle(pilot)
        assert [toast.message for toast in pilot.app._notifications] == ["the text is gone · Bring it back."]
        assert screen.check_action("audit", ())
