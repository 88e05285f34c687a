"""Keys that come at once, as over a slow line or from a macro, do what they would one by one."""

from __future__ import annotations

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from odyssey_tui.app import OdysseyApp
from odyssey_tui.in_turn import KeysInTurn
from odyssey_tui.screens.prompt import PromptScreen
from odyssey_tui.screens.runs import RunsScreen
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.long_table import LongTable
from tests.support.piloting import press, settle

NAMES = {"/": "slash", "=": "equals_sign", "\r": "enter"}


async def burst(pilot: Pilot, text: str) -> None:
    """All keys of ``text`` before the application has looked at the first."""
    for char in text:
        pilot.app.post_message(events.Key(NAMES.get(char, char), char))
    await settle(pilot)


async def test_what_is_typed_behind_the_filter_key_is_the_filter(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await burst(pilot, "/domain=tests3\r")
        assert isinstance(pilot.app.screen, RunsScreen)
        assert pilot.app.screen.query_one(FilterLine).query_one(Input).value == "domain=tests3"
        assert isinstance(pilot.app.focused, LongTable)


async def test_what_is_typed_behind_the_key_of_a_dialog_is_for_the_dialog(own_voyage) -> None:
    async with OdysseyApp(own_voyage).run_test(size=(80, 24)) as pilot:
        await press(pilot, "j")
        await burst(pilot, "Nnext one")
        assert isinstance(pilot.app.screen, PromptScreen)
        assert pilot.app.screen.query_one(Input).value == "next one"


async def test_screens_change_in_the_order_of_the_keys(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await burst(pilot, "2495")
        assert pilot.app.base_screen.SCOPE == "similarity"


@pytest.mark.parametrize("closing", [True, False])
async def test_a_key_whose_end_never_comes_does_not_hold_the_next_for_good(voyage, monkeypatch, closing: bool) -> None:
    """The widget that had it went before it looked, or takes no more messages."""
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        table = pilot.app.screen.query_one(LongTable)
        post = table.post_message
        lost = KeysInTurn.Behind
        monkeypatch.setattr(
            table, "post_message", lambda message: not closing if isinstance(message, lost) else post(message)
        )
        await burst(pilot, "j4")
        if not closing:
            assert pilot.app.base_screen.SCOPE == "runs"
            pilot.app._lose_patience()
            await settle(pilot)
        assert pilot.app.base_screen.SCOPE == "queue"
