"""The Queue screen whole: update with ``pytest --snapshot-update``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.launch.process import Identity
from engine.launch.status import SlotStatus, Status, write_status
from odyssey_tui.app import OdysseyApp
from odyssey_tui.settings import Settings
from store.files import write_json
from store.workspace import Workspace
from tests.support.synthetic_queue import queue_runs

FAKE_NVML = Path(__file__).parents[1] / "support" / "fake_nvml"
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture
def line(tmp_path: Path) -> Workspace:
    workspace = queue_runs(tmp_path / "line", waiting=9, host="gpubox")
    ticket = {"run_id": "b-2", "priority": 1.0, "enqueued": 1.0, "held": True}
    write_json(workspace.tickets / "b-2.json", ticket)
    write_json(workspace.queue / "paused_experiments.json", {"b": {"reason": "two runs died early", "since": 1.0}})
    return workspace


@pytest.fixture
def work(line: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that looks the same wherever the test runs: this process under another name."""
    slots = tuple(SlotStatus(f"gpu{index}", f"GPU-{index}", "run-0" if index == 1 else "", 1) for index in range(8))
    write_status(line, Status(Identity(4242, 0.0, "boot", "gpubox"), slots))
    monkeypatch.setattr("engine.launch.process.Identity.alive", lambda self: True)
    monkeypatch.setattr("platform.node", lambda: "gpubox")


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight GPUs: one computes for this workspace, one for somebody who is not to be seen, one tells little."""
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.syspath_prepend(str(FAKE_NVML))
    monkeypatch.setenv("FAKE_NVML", str(tmp_path / "nvml.json"))
    idle = {"name": "H100 80GB", "utilisation": 0, "memory_used_mb": 5, "memory_total_mb": 80_000, "temperature_c": 31}
    idle |= {"power_w": 71, "power_limit_w": 700, "processes": []}
    busy = {"utilisation": 97, "memory_used_mb": 61_000, "power_w": 612, "temperature_c": 64}
    found = [{**idle, "uuid": f"GPU-{index}"} for index in range(8)]
    found[1] |= busy
    found[2] |= {**busy, "utilisation": 100, "temperature_c": 83}
    for missing in ("power_w", "utilisation"):
        del found[5][missing]
    write_json(tmp_path / "nvml.json", {"cards": found})


async def look_at_the_queue(pilot: Pilot) -> None:
    for keys in ((), ("4",), ("j", "j", "space", "space")):
        await pilot.press(*keys)
        for _ in range(2):
            await pilot.pause()
            await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@SIZES
def test_queue(line: Workspace, work: None, cards: None, snap_compare, size: tuple[int, int]) -> None:
    assert snap_compare(OdysseyApp(line), terminal_size=size, run_before=look_at_the_queue)


def test_queue_in_the_light(line: Workspace, snap_compare) -> None:
    app = OdysseyApp(line, Settings(theme="odyssey-light"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=look_at_the_queue)


def test_queue_of_nothing(tmp_path: Path, snap_compare) -> None:
    app = OdysseyApp(Workspace.create(tmp_path / "line"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=look_at_the_queue)
