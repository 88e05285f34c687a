"""The Queue screen by keys: what is on it, and what each key asks of the scheduler."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.launch.process import Identity
from engine.launch.status import SlotStatus, Status, write_status
from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.confirm import ConfirmScreen, TypedConfirmScreen
from odyssey_tui.screens.queue import QueueScreen
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.settings import Settings
from odyssey_tui.widgets.long_table import LongTable
from odyssey_tui.widgets.machine_strip import MachineStrip
from store.files import write_json
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.synthetic_queue import queue_runs

SMALL, LARGE = (80, 24), (120, 40)
FAKE_NVML = Path(__file__).parents[2] / "support" / "fake_nvml"


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three waiting runs of each of two sweeps, one running, one that a failed one holds; nobody works on it."""
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)
    return queue_runs(tmp_path / "line")


@asynccontextmanager
async def opened(
    workspace: Workspace, size: tuple[int, int] = SMALL, settings: Settings | None = None
) -> AsyncIterator[Pilot]:
    """The Queue screen with its first data."""
    async with OdysseyApp(workspace, settings).run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        assert isinstance(pilot.app.screen, QueueScreen)
        yield pilot


def table(pilot: Pilot) -> LongTable:
    return pilot.app.screen.query_one(LongTable)


async def to_run(pilot: Pilot, run_id: str) -> None:
    """Put the cursor on a run."""
    table(pilot).move_cursor(table(pilot).keys.index(run_id))
    await pilot.pause()


def strip(pilot: Pilot) -> str:
    return str(pilot.app.screen.query_one(MachineStrip).render())


def requests(workspace: Workspace) -> list[dict[str, object]]:
    """What was asked for, in order, without the code that a retry is to run with."""
    found = [json.loads(path.read_text()) for path in sorted((workspace.queue / "requests").glob("*.json"))]
    return [{key: value for key, value in request.items() if key != "code"} for request in found]


def said(pilot: Pilot) -> str:
    return "\n".join(notification.message for notification in pilot.app._notifications)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_what_runs_comes_first_then_the_line_then_what_is_held_and_what_failed(line, size) -> None:
    async with opened(line, size) as pilot:
        assert table(pilot).keys == ("run-0", "a-0", "a-1", "a-2", "b-0", "b-1", "b-2", "blocked-0", "bad-0")
        assert any("▶ 40% 1m30s" in cell for cell in table(pilot).cells("run-0"))
        assert table(pilot).cells("a-1")[1].strip() == "2"
        assert "needs bad" in " ".join(table(pilot).cells("blocked-0"))
        assert "the loss became NaN" in " ".join(table(pilot).cells("bad-0"))
        assert sum(len(cell) + 1 for cell in table(pilot).cells("a-0")) <= size[0]


async def test_nobody_works_and_p_starts_a_scheduler(line) -> None:
    async with opened(line) as pilot:
        assert "P starts one" in strip(pilot)
        await press(pilot, "P")
    assert requests(line) == [{"action": "resume", "runs": [], "experiments": []}]


async def test_p_pauses_a_queue_that_goes_on_and_lets_a_paused_one_go_on(line) -> None:
    write_status(line, Status(Identity.current(), (SlotStatus("cpu0", None, "run-0", 1), SlotStatus("cpu1", None))))
    async with opened(line) as pilot:
        assert f"scheduler {os.getpid()} on {platform.node()}" in strip(pilot)
        await press(pilot, "P")
        write_json(line.queue / "paused", {"reason": "asked for", "since": 1.0})
        await press(pilot, "r")
        assert "paused: asked for (P goes on)" in strip(pilot)
        await press(pilot, "P")
    assert [request["action"] for request in requests(line)] == ["pause", "resume"]


async def test_slots_show_what_they_do(line) -> None:
    write_status(line, Status(Identity.current(), (SlotStatus("cpu0", None, "run-0", 1), SlotStatus("cpu1", None))))
    async with opened(line) as pilot:
        first, second = strip(pilot).splitlines()[1:3]
        assert first.startswith("cpu0 run")
        assert "40% 1m30s left" in first
        assert second == "cpu1 idle"
        assert "cpu0" in [cell.strip() for cell in table(pilot).cells("run-0")]


@pytest.mark.parametrize(
    ("key", "where"), [("K", "up"), ("J", "down"), ("T", "top"), ("B", "bottom")], ids=["up", "down", "top", "bottom"]
)
async def test_a_run_is_moved(line, key, where) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "b-1")
        await press(pilot, key)
    assert requests(line) == [{"action": "move", "runs": ["b-1"], "where": where}]


async def test_what_runs_cannot_be_moved(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "run-0")
        await press(pilot, "K")
        assert "no place in the line" in said(pilot)
    assert requests(line) == []


async def test_marked_runs_are_moved_together_in_the_order_of_the_line(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "b-0")
        await press(pilot, "space", "space", "T")
        assert table(pilot).cells("b-0")[0] == "●"
        await press(pilot, "U", "T")
    assert [request["runs"] for request in requests(line)] == [["b-0", "b-1"], ["b-2"]]


async def test_x_marks_the_whole_sweep_and_takes_it_back(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "b-1")
        await press(pilot, "x", "X")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await press(pilot, "X")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await press(pilot, "y")
        await press(pilot, "x")
        assert pilot.app.screen._marked == set()
    assert requests(line) == [{"action": "cancel", "runs": ["b-0", "b-1", "b-2", "blocked-0"]}]


async def test_cancelling_what_runs_asks_for_the_word(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "run-0")
        await press(pilot, "X", *"no", "enter")
        assert isinstance(pilot.app.screen, TypedConfirmScreen)
        pilot.app.screen.query_one(Input).value = "cancel"
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, QueueScreen)
    assert requests(line) == [{"action": "cancel", "runs": ["run-0"]}]


async def test_a_waiting_run_is_held_and_a_held_one_let_go(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "a-1")
        await press(pilot, "w")
        ticket = json.loads((line.tickets / "a-1.json").read_text())
        write_json(line.tickets / "a-1.json", {**ticket, "held": True})
        await press(pilot, "r")
        assert "held on request" in " ".join(table(pilot).cells("a-1"))
        await press(pilot, "w")
    assert requests(line) == [{"action": "hold", "runs": ["a-1"]}, {"action": "release", "runs": ["a-1"]}]


async def test_holding_what_runs_says_what_happens_and_asks(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "run-0")
        await press(pilot, "w")
        assert "to go on from there" in str(pilot.app.screen.query_one(Static).render())
        await press(pilot, "w", "y")
    assert requests(line) == [{"action": "hold", "runs": ["run-0"]}]


async def test_s_pauses_the_sweep_and_lets_it_go_on(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "b-1")
        await press(pilot, "S")
        why = {"reason": "two runs died within seconds", "since": 1.0}
        write_json(line.queue / "paused_experiments.json", {"b": why})
        await press(pilot, "r")
        assert "b is paused: two runs died within seconds (S goes on)" in strip(pilot)
        await press(pilot, "S")
    assert requests(line) == [
        {"action": "pause", "runs": [], "experiments": ["b"]},
        {"action": "resume", "runs": [], "experiments": ["b"]},
    ]


async def test_r_queues_again_what_failed_and_what_holds_others(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "a-0")
        await press(pilot, "R")
        assert "no run to retry here" in said(pilot)
        for run_id in ("bad-0", "blocked-0"):
            await to_run(pilot, run_id)
            await press(pilot, "R")
    assert requests(line) == [{"action": "retry", "runs": ["bad-0"]}, {"action": "retry", "runs": ["blocked-0"]}]


async def test_a_failed_run_can_be_neither_held_nor_cancelled(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "bad-0")
        await press(pilot, "w", "X")
        assert isinstance(pilot.app.screen, QueueScreen)
        assert "nothing to cancel" in said(pilot)
    assert requests(line) == []


async def test_a_filter_narrows_and_marks_act_on_what_is_in_sight(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "a-0")
        await press(pilot, "space", "slash", *"experiment=b", "enter")
        assert table(pilot).keys == ("b-0", "b-1", "b-2", "blocked-0", "bad-0")
        assert table(pilot).cells("b-0")[1].strip() == "4"
        await to_run(pilot, "b-0")
        await press(pilot, "T", "escape")
        assert len(table(pilot).keys) == 9
    assert [request["runs"] for request in requests(line)] == [["b-0"]]


async def test_a_wrong_filter_keeps_the_rows(line) -> None:
    async with opened(line) as pilot:
        await press(pilot, "slash", *"stat=held")
        assert "'state'" in str(pilot.app.screen.query_one("#filter-trouble", Static).render())
        assert len(table(pilot).keys) == 9


async def test_enter_opens_the_run_and_escape_comes_back(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "bad-0")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunScreen)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, QueueScreen)
        assert table(pilot).current == "bad-0"


async def test_the_cursor_stays_on_its_run_when_those_before_it_go(line) -> None:
    async with opened(line) as pilot:
        await to_run(pilot, "b-0")
        (line.runs / "a-0" / "control.jsonl").open("a").write('{"seq": 1, "t": 2.0, "event": "cancelled"}\n')
        (line.tickets / "a-0.json").unlink()
        await press(pilot, "r")
        assert "a-0" not in table(pilot).keys
        assert table(pilot).current == "b-0"


async def test_an_empty_queue_says_what_to_press(empty) -> None:
    async with opened(empty) as pilot:
        assert pilot.app.screen.query_one("#welcome").display
        assert not pilot.app.screen.check_action("cancel", ())
        await press(pilot, "n")
        assert pilot.app.screen.SCOPE == "launch"


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (200, 60)])
async def test_any_size_is_survived(line, size) -> None:
    async with opened(line, size, Settings(theme="odyssey-light")) as pilot:
        await press(pilot, "j", "G", "g", "pagedown", "k", "h", "l")
        assert table(pilot).current is not None


async def test_every_key_is_in_the_palette(line) -> None:
    async with opened(line) as pilot:
        titles = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
    assert {"Pause", "Pause sweep", "Hold", "Move up", "To the top", "To the bottom", "Cancel", "Retry"} <= titles


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs: one where this process computes, one idle."""
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.syspath_prepend(str(FAKE_NVML))
    memory = {"memory_total_mb": 80_000, "power_limit_w": 700}
    first = {"uuid": "GPU-a", "name": "H100", "utilisation": 97, "memory_used_mb": 61_000, "power_w": 612, **memory}
    first |= {"temperature_c": 64, "processes": [{"pid": os.getpid(), "memory_mb": 60_000}]}
    second = {"uuid": "GPU-b", "name": "H100", "utilisation": 0, "memory_used_mb": 5, "power_w": 70, **memory}
    write_json(tmp_path / "nvml.json", {"cards": [first, {**second, "temperature_c": 31}]})
    monkeypatch.setenv("FAKE_NVML", str(tmp_path / "nvml.json"))


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_gpus_show_how_busy_full_and_hot_they_are_and_whose_work_that_is(line, cards, size) -> None:
    slots = (SlotStatus("gpu0", "GPU-a", "run-0", 1), SlotStatus("gpu1", "GPU-b"))
    write_status(line, Status(Identity.current(), slots))
    async with opened(line, size) as pilot:
        head, first, second = strip(pilot).splitlines()[:3]
        assert "2 × H100" in head
        assert first.split()[:1] == ["gpu0"]
        for part in ("97%", "61/80G", "612/700W", "64°", "run 40% 1m30s"):
            assert part in first
        assert second.endswith("idle")


async def test_without_a_scheduler_the_driver_says_who_computes(line, cards) -> None:
    async with opened(line, LARGE) as pilot:
        assert "60G" in strip(pilot).splitlines()[1]


async def test_the_driver_is_asked_only_while_the_screen_is_in_front(line, monkeypatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("odyssey_tui.services.gpus.read_gpu_rows", lambda workspace: asked.append(1) or ())
    monkeypatch.setattr("odyssey_tui.services.board.DRIVER_S", 0.0)
    monkeypatch.setattr("odyssey_tui.screens.queue.LOOK_S", 0.01)
    async with opened(line) as pilot:
        begun = len(asked)
        while len(asked) < begun + 3:
            await pilot.pause(0.01)
        await press(pilot, "1")
        before = len(asked)
        for _ in range(5):
            pilot.app.look_now()
            await settle(pilot)
        assert len(asked) == before
