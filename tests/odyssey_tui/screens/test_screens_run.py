"""The Run screen: what it tells about finished, failed and running runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import BUSY_S, OdysseyApp
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.metric_grid import MetricGrid
from store.workspace import Workspace
from tests.support.gpus import FakeDriver, card
from tests.support.piloting import press, record_painting, settle
from tests.support.synthetic import write_finished_runs


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
        assert "@ptpp5 → this run → atpp1, atpp2, atpp4" in about
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
        assert "@ptpp5 → this run" in text_of(screen, "#about")
        assert screen.check_action("cancel", ())
        assert not screen.check_action("retry", ())


async def test_a_run_without_curve_has_a_page_of_its_own(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, voyage, "prepare")
        assert screen.has_class("-plain")
        assert not screen.query_one(Chart).region
        assert "job.kind: prepare" in text_of(screen, "#facts")


async def test_several_metrics_are_shown_at_once(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, voyage, "pretrain-s")
        await press(pilot, "v")
        figures = [chart.figure for chart in screen.query_one(MetricGrid).query(Chart)]
        assert [figure.y_label for figure in figures] == [
            "training loss (nats/token)",
            "tokens per second",
            "learning rate",
            "peak memory (bytes)",
        ]
        assert not screen.query_one("#curve").display
        await press(pilot, "x")
        assert {chart.figure.x_label for chart in screen.query_one(MetricGrid).query(Chart)} == {"step"}
        await press(pilot, "v")
        assert screen.query_one("#curve").display
        assert not screen.query_one("#several").display


async def test_the_curve_is_exported_as_it_is_seen(voyage, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, voyage, "pretrain-s")
        await press(pilot, "s", "y")
        for name in ("curve.svg", "page.json", "table.csv"):
            await press(pilot, "E")
            pilot.app.screen.query_one(Input).value = name
            await press(pilot, "enter")
        assert not screen._troubles
    assert "smoothed 0.6" in (tmp_path / "curve.svg").read_text()
    assert json.loads((tmp_path / "page.json").read_text())["metrics"][0] == "loss"
    assert (tmp_path / "table.csv").read_text().startswith("state,eval_set,role")


async def test_the_cross_hair_is_copied(voyage) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, voyage, "pretrain-s")
        await press(pilot, "right", "c")
        (reading,) = screen.query_one(Chart).readings
        assert pilot.app.clipboard == f"trunk\t{reading.x:.10g}\t{reading.y:.10g}"
        await press(pilot, "escape", "c")
        assert pilot.app.clipboard == screen._run_id
        assert pilot.app.screen is screen


async def test_the_gpus_of_a_running_run_are_shown(own_voyage, tmp_path, monkeypatch) -> None:
    driver = FakeDriver(tmp_path / "nvml.json", monkeypatch)
    run_id = next(name for name in own_voyage.run_ids() if name.startswith("adapt-docs-r0-p5-xs-"))
    worker = subprocess.Popen([sys.executable, "-c", "input()", str(own_voyage.root), run_id], stdin=subprocess.PIPE)
    driver.show(card("a", (worker.pid, 30_000)), card("b"))
    try:
        async with OdysseyApp(own_voyage).run_test(size=(120, 40)) as pilot:
            screen = await open_run(pilot, own_voyage, "adapt-docs-r0-p5-xs")
            assert screen.query_one("#gpu-pane").display
            (line,) = text_of(screen, "#gpu").strip().split("\n")
            assert "30/80G" in line
            screen = await open_run(pilot, own_voyage, "adapt-docs-r0-p5-s")
            assert not screen.query_one("#gpu-pane").display
    finally:
        worker.kill()
        worker.wait()
        sys.modules.pop("pynvml", None)


async def test_a_run_that_has_logged_nothing_and_one_of_nan_are_calm(tmp_path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    write_finished_runs(workspace, 2)
    silent, broken = sorted(workspace.runs.iterdir())
    events = silent / "attempts" / "1" / "events.jsonl"
    kept = [line for line in events.read_text().splitlines() if '"metric"' not in line]
    events.write_text("".join(f"{line}\n" for line in kept))
    events = broken / "attempts" / "1" / "events.jsonl"
    events.write_text(events.read_text().replace('"loss": 3.5', '"loss": NaN'))
    async with OdysseyApp(workspace).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for run, told in ((silent, "This run wrote no such metric."), (broken, "1 not drawable")):
            screen = RunScreen(run.name)
            pilot.app.push_screen(screen)
            await settle(pilot)
            await press(pilot, "right", "s", "x", "plus", "v", "v")
            assert not screen._troubles
            chart = screen.query_one(Chart)
            shown = "".join(chart.render_line(row).text for row in range(chart.size.height))
            assert told in shown


async def test_a_run_that_writes_a_lot_is_drawn_a_few_times_and_whole(own_voyage, monkeypatch) -> None:
    shown: list[object] = []
    show = RunScreen.show
    monkeypatch.setattr(RunScreen, "show", lambda self, snapshot: (shown.append(snapshot), show(self, snapshot))[1])
    async with OdysseyApp(own_voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_run(pilot, own_voyage, "adapt-docs-r0-p5-xs")
        before, drawn = len(screen.query_one(Chart).figure.lines[0].x), len(shown)
        await press(pilot, "plus")
        view = screen.query_one(Chart).view
        painted = record_painting(pilot.app)
        journal = own_voyage.run(screen._run_id).latest_attempt().events
        for burst in range(3):
            for number in range(200):
                step = 10_000 + burst * 200 + number
                line = {"seq": step, "t": 1.79e9 + step, "event": "metric", "step": step, "tokens": step * 100}
                with journal.open("a") as file:
                    file.write(json.dumps({**line, "branch": "trunk", "values": {"loss": 3.0}}) + "\n")
                pilot.app.look_now()
            await settle(pilot)
            await settle(pilot)
        assert len(screen.query_one(Chart).figure.lines[0].x) == before + 600
        assert len(shown) - drawn <= 9
        assert len(painted) <= 30, "at most ten times for what one look finds, and looks are a second apart"
        assert BUSY_S >= 1
        assert screen.query_one(Chart).view == view
