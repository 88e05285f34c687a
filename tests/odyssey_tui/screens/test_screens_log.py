"""The console of a run: it follows, searches, and leaves one layer at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.run_log import LogScreen
from odyssey_tui.widgets.long_table import LongTable
from store.workspace import Workspace
from tests.support.piloting import press, record_painting, settle


@asynccontextmanager
async def console_of(workspace: Workspace, name: str) -> AsyncIterator[Pilot]:
    run_id = next(run_id for run_id in workspace.run_ids() if run_id.startswith(f"{name}-"))
    async with OdysseyApp(workspace).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        pilot.app.push_screen(LogScreen(run_id, name))
        await settle(pilot)
        yield pilot


def table(pilot: Pilot) -> LongTable:
    return pilot.app.screen.query_one(LongTable)


def head(pilot: Pilot) -> str:
    return table(pilot).columns[0].title


async def test_it_follows_on_the_last_line_and_stays_elsewhere(own_voyage: Workspace) -> None:
    async with console_of(own_voyage, "adapt-headers-r0-p5-xs") as pilot:
        console = own_voyage.run(pilot.app.screen._run_id).latest_attempt().console
        assert "7 lines · following" in head(pilot)
        with console.open("a") as file:
            file.write("one more\n")
        await press(pilot, "r")
        assert table(pilot).cells(table(pilot).current) == ("one more",)
        await press(pilot, "g")
        assert "G follows" in head(pilot)
        with console.open("a") as file:
            file.write("and another\n")
        await press(pilot, "r")
        assert table(pilot).cursor_row == 0
        assert "9 lines" in head(pilot)
        await press(pilot, "G")
        assert "following" in head(pilot)


async def test_it_searches_and_escape_leaves_one_layer(voyage: Workspace) -> None:
    async with console_of(voyage, "adapt-headers-r0-p5-xs") as pilot:
        await press(pilot, "n")
        await press(pilot, "slash", *"LOSS 4.3", "enter")
        assert "2 with 'LOSS 4.3'" in head(pilot)
        assert table(pilot).cursor_row == 2
        await press(pilot, "n")
        assert table(pilot).cursor_row == 1
        await press(pilot, "N")
        assert table(pilot).cursor_row == 2
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, LogScreen)
        assert "with" not in head(pilot)
        await press(pilot, "escape")
        assert not isinstance(pilot.app.screen, LogScreen)


async def test_further_attempts_are_told_and_the_one_before_is_a_key_away(own_voyage: Workspace) -> None:
    async with console_of(own_voyage, "adapt-headers-r0-p5-xs") as pilot:
        assert not pilot.app.screen.check_action("attempt", ())
        own_voyage.run(pilot.app.screen._run_id).new_attempt().console.write_text("again\n")
        await press(pilot, "r")
        assert "attempt 2 of 2" in head(pilot)
        await press(pilot, "a")
        assert "attempt 1 of 2" in head(pilot)
        assert table(pilot).cells("6") == ("step 6 loss nan",)


async def test_a_console_that_does_not_change_sends_nothing(voyage: Workspace) -> None:
    async with console_of(voyage, "adapt-tests-r0-p5-xs") as pilot:
        assert "it has not started yet" in head(pilot)
        painted = record_painting(pilot.app)
        for _ in range(3):
            pilot.app.screen.reload()
            await settle(pilot)
        assert painted == []
