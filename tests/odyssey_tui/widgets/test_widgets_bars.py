"""The bar of screens under a mouse."""

from __future__ import annotations

from odyssey_tui.app import OdysseyApp
from odyssey_tui.widgets.bars import TopBar
from store.workspace import Workspace
from tests.support.piloting import settle


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
