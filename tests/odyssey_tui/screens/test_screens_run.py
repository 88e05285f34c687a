"""The Run screen: what it tells about finished, failed and running runs."""

from __future__ import annotations

import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.widgets.chart import Chart
from store.workspace import Workspace
from tests.support.piloting import settle


async def open_run(pilot: Pilot, workspace: Workspace, name: str) -> RunScreen:
    """Open the run of this name."""
    await settle(pilot)
    run_id = next(run_id for run_id in workspace.run_ids() if run_id.startswith(f"{name}-"))
    screen = RunScreen(run_id)
    pilot.app.push_screen(screen)
    await settle(pilot)
    await settle(pilot)
    return screen


def text_of(screen: RunScreen, selector: str) -> str:
    """What a widget shows, as text."""
    console = Console(width=100)
    with console.capture() as capture:
        console.print(screen.query_one(selector, Static).content)
    return capture.get()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_evaluations_before_and_after(voyage, size) -> None:
    async with OdysseyApp(voyage).run_test(size=size) as pilot:
        screen = await open_run(pilot, voyage, "adapt-docs-r0-p5-s")
        about, evaluations = text_of(screen, "#about"), text_of(screen, "#evaluations")
        assert "✓ done" in about
        assert "pretrain-s" in about
        detail = screen._snapshot.detail
        for line in detail.evaluations:
            assert f"{line.loss:.3f}" in evaluations
            assert f"{line.ppl_before:.2f}→{line.ppl:.2f}" in evaluations
        assert screen.query_one(Chart).figure is not None


async def test_metric_and_axis_step_through_what_there_is(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, voyage, "pretrain-s")
        seen = [screen._snapshot.metric]
        for _ in screen._snapshot.detail.metrics:
            await pilot.press("m")
            await settle(pilot)
            seen.append(screen._snapshot.metric)
        assert set(seen) == set(screen._snapshot.detail.metrics)
        assert seen[0] == seen[-1] == "loss"
        axes = []
        for _ in range(4):
            axes.append(screen._snapshot.axis)
            await pilot.press("x")
            await settle(pilot)
        assert axes == ["tokens", "step", "flops", "time"]


async def test_a_failed_run_tells_why_and_can_be_retried(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_run(pilot, voyage, "adapt-headers-r0-p5-xs")
        assert "the loss became NaN at step 6" in text_of(screen, "#about")
        assert screen.check_action("retry", ())
        assert not screen.check_action("cancel", ())


async def test_a_running_run_shows_how_far_it_is_and_can_be_cancelled(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_run(pilot, voyage, "adapt-docs-r0-p5-xs")
        assert "%" in text_of(screen, "#about")
        assert screen.check_action("cancel", ())
        assert not screen.check_action("retry", ())


async def test_a_run_without_curve_has_a_page_of_its_own(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, voyage, "prepare")
        assert screen.has_class("-plain")
        assert not screen.query_one(Chart).region
        assert "job.kind: prepare" in text_of(screen, "#facts")
