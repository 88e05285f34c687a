"""Deleting runs by keys: nothing goes without the word, and never what is live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.confirm import TypedConfirmScreen
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.screens.runs import RunsScreen
from odyssey_tui.widgets.long_table import LongTable
from store.workspace import Workspace
from tests.support.piloting import press, settle


@asynccontextmanager
async def on_run(workspace: Workspace, name: str) -> AsyncIterator[Pilot]:
    """The Runs screen with the cursor on a run, supporting runs unfolded."""
    async with OdysseyApp(workspace).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        table = pilot.app.screen.query_one(LongTable)
        await press(pilot, "g", "enter")
        table.move_cursor(next(i for i, key in enumerate(table.keys) if key.startswith(f"{name}-")))
        await settle(pilot)
        yield pilot


def asked(pilot: Pilot) -> str:
    """What the dialog says."""
    assert isinstance(pilot.app.screen, TypedConfirmScreen)
    return str(pilot.app.screen.query_one(Static).render())


def count_runs(workspace: Workspace) -> int:
    return len(workspace.run_ids())


async def test_a_run_goes_once_the_word_is_typed(own_voyage) -> None:
    before = count_runs(own_voyage)
    async with on_run(own_voyage, "adapt-headers-r0-p5-xs") as pilot:
        await press(pilot, "D")
        said = asked(pilot)
        assert "1 run for good" in said
        assert "of metrics" in said
        await press(pilot, *"delete", "enter")
        assert isinstance(pilot.app.screen, TypedConfirmScreen)
        pilot.app.screen.query_one(Input).value = "DELETE"
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunsScreen)
        keys = pilot.app.screen.query_one(LongTable).keys
        assert not any(key.startswith("adapt-headers-r0-p5-xs") for key in keys)
    assert count_runs(own_voyage) == before - 1


async def test_escape_deletes_nothing(own_voyage) -> None:
    before = count_runs(own_voyage)
    async with on_run(own_voyage, "adapt-headers-r0-p5-xs") as pilot:
        await press(pilot, "D", "escape")
        assert isinstance(pilot.app.screen, RunsScreen)
    assert count_runs(own_voyage) == before


async def test_what_rests_on_a_run_is_named_before_it_goes_along(own_voyage) -> None:
    async with on_run(own_voyage, "pretrain-s") as pilot:
        await press(pilot, "D")
        assert "that rest on them" in asked(pilot)


async def test_a_live_run_is_refused_with_the_reason(own_voyage) -> None:
    before = count_runs(own_voyage)
    async with on_run(own_voyage, "adapt-docs-r0-p5-xs") as pilot:
        await press(pilot, "D")
        assert isinstance(pilot.app.screen, RunsScreen)
        (told,) = [notification.message for notification in pilot.app._notifications]
        assert "is running" in told
    assert count_runs(own_voyage) == before


async def test_the_page_of_a_run_closes_when_it_is_gone(own_voyage) -> None:
    async with on_run(own_voyage, "adapt-headers-r0-p5-xs") as pilot:
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunScreen)
        await press(pilot, "D")
        pilot.app.screen.query_one(Input).value = "DELETE"
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunsScreen)
