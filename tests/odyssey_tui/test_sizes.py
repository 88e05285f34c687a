"""Every screen in terminals of every size, and while the terminal changes."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.base import TopBar
from odyssey_tui.screens.registry import FURTHER, SCREENS
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.widgets.key_bar import KeyBar
from store.workspace import Workspace
from tests.support.piloting import press, settle

SIZES = ((20, 5), (40, 10), (80, 24), (120, 40), (250, 80))
LEAST_ROWS = 2
"""Of what has the focus so many lines are in sight in the smallest terminal: a head and a row."""


def check(pilot: Pilot, size: tuple[int, int]) -> None:
    """The first and the last line stand where they belong and say whole words; what keys act on is in sight."""
    width, height = size
    screen = pilot.app.screen
    assert (screen.size.width, screen.size.height) == size
    assert tuple(screen.query_one(TopBar).region) == (0, 0, width, 1)
    bar = screen.query_one(KeyBar)
    assert tuple(bar.region) == (0, height - 1, width, 1)
    assert bar.shown
    assert cell_len(bar.render().plain.rstrip()) <= width
    assert not screen._troubles
    focused = pilot.app.focused
    if focused is not None and not screen.has_class("-empty"):
        rows = focused.region.intersection(screen.region).height
        assert rows >= (1 if isinstance(focused, Input) else LEAST_ROWS), (screen, size, focused)


@pytest.mark.slow
async def test_every_screen_at_every_size(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        await press(pilot, "j", "j", "space", "j", "space")

        async def resize() -> None:
            for size in SIZES:
                await pilot.resize_terminal(*size)
                await pilot.pause()
                check(pilot, size)

        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunScreen)
        await resize()
        for entry in (*SCREENS, *FURTHER):
            await pilot.app.go(entry.name)
            await settle(pilot)
            assert entry.name == pilot.app.base_screen.SCOPE
            await resize()
        await settle(pilot)
