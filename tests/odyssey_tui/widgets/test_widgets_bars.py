"""The bars of screens and of keys."""

from __future__ import annotations

from odyssey_tui.app import OdysseyApp
from odyssey_tui.widgets.bars import TopBar
from odyssey_tui.widgets.key_bar import KeyBar
from store.workspace import Workspace
from tests.support.piloting import press, record_painting, settle


async def test_a_click_on_a_title_opens_its_screen(empty: Workspace) -> None:
    app = OdysseyApp(empty)
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        line = app.screen.query_one(TopBar).render().plain
        await pilot.click(TopBar, offset=(line.index("Queue"), 0))
        await settle(pilot)
        assert app.base_screen.SCOPE == "queue"
        await pilot.click(TopBar, offset=(line.index("1 Runs"), 0))
        await settle(pilot)
        assert app.base_screen.SCOPE == "runs"


async def test_keys_are_those_that_act_and_a_click_presses_one(empty: Workspace) -> None:
    app = OdysseyApp(empty)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        bar = app.screen.query_one(KeyBar)
        assert [key.label for key in bar.shown] == ["Help", "Quit"]  # of a table without rows nothing can be opened
        painted = record_painting(app)
        app.screen.refresh_bindings()
        await settle(pilot)
        assert painted == []
        await pilot.hover(KeyBar, offset=(0, 0))
        assert bar.tooltip == "the keys that act here"
        await pilot.click(KeyBar, offset=(0, 0))
        await settle(pilot)
        assert type(app.screen).__name__ == "HelpScreen"


async def test_only_keys_that_fit_are_shown(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(20, 5)) as pilot:
        await press(pilot, "j")
        bar = pilot.app.screen.query_one(KeyBar)
        assert [key.label for key in bar.shown] == ["Open", "Mark"]
        assert bar.render().plain == "⏎ Open space Mark "
