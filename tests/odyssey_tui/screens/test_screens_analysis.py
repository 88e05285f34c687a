"""Compare, Tokens and Forecast on a screen, driven by keys."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.compare import CompareScreen
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.screens.tokens import TokensScreen
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.keyed_table import KeyedTable
from store.workspace import Workspace
from tests.support.piloting import settle


async def open_screen(pilot: Pilot, key: str) -> object:
    await settle(pilot)
    await pilot.press(key)
    await settle(pilot)
    return pilot.app.base_screen


def text_of(screen: object, selector: str) -> str:
    return str(screen.query_one(selector, Static).render())


def adapted(workspace: Workspace, *names: str) -> list[str]:
    return [
        next(run for run in workspace.run_ids() if run.startswith(f"{name}-") and "lora" not in run) for name in names
    ]


@pytest.mark.parametrize("size", [(80, 24), (20, 5)])
async def test_every_screen_survives_every_size_full_and_empty(fitted, empty, size) -> None:
    for workspace in (fitted, empty):
        async with OdysseyApp(workspace).run_test(size=size) as pilot:
            full = workspace is fitted
            pilot.app.marked = adapted(workspace, "adapt-docs-r0-p15-s", "adapt-docs-r0-p5-s") if full else []
            for key in ("2", "6", "7"):
                screen = await open_screen(pilot, key)
                assert screen.has_class("-empty") is not full
                assert not screen._troubles


class TestCompare:
    async def test_marked_runs_stand_side_by_side(self, fitted) -> None:
        async with OdysseyApp(fitted).run_test(size=(120, 40)) as pilot:
            pilot.app.marked = adapted(fitted, "adapt-docs-r0-p15-s", "adapt-docs-r0.25-p45-s")
            screen = await open_screen(pilot, "2")
            assert isinstance(screen, CompareScreen)
            assert screen.query_one("#outcomes", KeyedTable).row_count == 4
            differing = {row.key for row in screen.query_one("#differences", KeyedTable)._rows}
            assert {"replay_ratio", "base.state"} <= differing
            assert "1 adapt-docs-r0-p15-s" in text_of(screen, "#runs")
            assert len(screen.query_one("#curves", Chart).figure.lines) == 2
            assert not screen.query_one("#plane", Chart).figure.is_empty

    async def test_one_mark_is_not_enough(self, fitted) -> None:
        async with OdysseyApp(fitted).run_test(size=(80, 24)) as pilot:
            pilot.app.marked = adapted(fitted, "adapt-docs-r0-p15-s")
            screen = await open_screen(pilot, "2")
            assert screen.has_class("-empty")
            assert "Mark two runs or more" in text_of(screen, "#empty")

    async def test_keys_swap_the_chart_and_open_tokens_and_run(self, fitted) -> None:
        async with OdysseyApp(fitted).run_test(size=(80, 24)) as pilot:
            pilot.app.marked = adapted(fitted, "adapt-docs-r0-p15-s", "adapt-docs-r0.25-p45-s")
            screen = await open_screen(pilot, "2")
            assert screen.query_one("#curves", Chart).display
            await pilot.press("v")
            assert screen.query_one("#plane", Chart).display
            assert not screen.query_one("#curves", Chart).display
            await pilot.press("enter")
            await settle(pilot)
            assert isinstance(pilot.app.screen, RunScreen)
            assert pilot.app.screen._run_id == pilot.app.marked[0]
            await pilot.press("escape", "j", "t")
            await settle(pilot)
            tokens = pilot.app.base_screen
            assert isinstance(tokens, TokensScreen)
            assert tokens.source.report.name.run_id == pilot.app.marked[1]
