"""A sweep launched from the keyboard in a real terminal goes on after the application is closed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.launch.queue_state import queue_state
from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace
from tests.support.terminal import Terminal
from tests.support.tiny import write_experiment

ODYSSEY = [sys.executable, "-m", "odyssey_tui"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "TERM": "xterm-256color",
        "ODYSSEY_WORKSPACE": str(tmp_path / "workspace"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "ODYSSEY_SLOTS": "1",
    }


@pytest.fixture
def launched(tmp_path: Path, environment: dict[str, str]) -> Iterator[Workspace]:
    """A workspace in which the tiny experiment is done; its scheduler is told to leave afterwards."""
    odyssey("launch", str(write_experiment(tmp_path)), environment=environment)
    workspace = Workspace.open(tmp_path / "workspace")
    wait_for_runs(workspace, environment)
    yield workspace
    pid = queue_state(workspace).scheduler_pid
    if pid is not None:
        os.kill(pid, signal.SIGTERM)


def odyssey(*arguments: str, environment: dict[str, str]) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run([*ODYSSEY, *arguments], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_runs(workspace: Workspace, environment: dict[str, str]) -> None:
    """Follow the log of every run until it has ended."""
    for run_id in workspace.run_ids():
        odyssey("logs", "--follow", run_id, environment=environment)


def test_nothing_is_printed_after_the_last_screen(tmp_path: Path, environment: dict[str, str]) -> None:
    synthetic_workspace(tmp_path / "workspace")
    with Terminal(ODYSSEY, environment) as terminal:
        terminal.wait_for(r"\d done")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.left_behind.strip() == ""


@pytest.mark.slow
def test_a_sweep_outlives_the_application(launched: Workspace, environment: dict[str, str]) -> None:
    before = set(launched.run_ids())
    with Terminal(ODYSSEY, environment) as terminal:
        terminal.wait_for(f"{len(before)} done")
        terminal.press("3")
        terminal.wait_for("0 new runs")
        terminal.press(".2,.7\r")
        terminal.wait_for("2 new runs")
        terminal.press("L")
        terminal.wait_for("y yes")
        terminal.press("y")
        terminal.wait_for("2 runs queued")
        terminal.press("4")
        terminal.wait_for(r"scheduler \d+ on ")
        terminal.press("P")
        terminal.wait_for(r"paused: asked for \(P goes on\)")
        terminal.press("P")
        terminal.wait_for("the queue goes on")
        terminal.press("q")
        assert terminal.wait() == 0
    new = set(launched.run_ids()) - before
    assert {launched.run(run_id).spec()["labels"]["replay_ratio"] for run_id in new} == {0.2, 0.7}
    assert {launched.run(run_id).spec()["job"]["kind"] for run_id in new} == {"adapt"}

    wait_for_runs(launched, environment)
    with Terminal(ODYSSEY, environment) as terminal:
        terminal.wait_for(f"{len(before) + 2} done")
        for name in ("adapt-poems-r0.2-p2-xs", "adapt-poems-r0.7-p2-xs"):
            terminal.wait_for(rf"✓ done +{re.escape(name)}")
        terminal.press("q")
        assert terminal.wait() == 0
    rows = json.loads(odyssey("runs", "--json", "-f", "replay>0", environment=environment))
    assert [row["state"] for row in rows] == ["done", "done"]
    assert all(row["delta"] is not None and row["delta_base"] is not None for row in rows)


def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path, environment: dict[str, str]) -> None:
    with Terminal(ODYSSEY, environment) as terminal:
        terminal.wait_for("Welcome to odyssey")
        terminal.press("\x03")
        assert terminal.wait() == 130
        assert "interrupted; whatever runs goes on" in terminal.text
        assert "Traceback" not in terminal.text
    with Terminal(ODYSSEY, environment) as terminal:
        terminal.wait_for("Welcome to odyssey")
        terminal.press("q")
        assert terminal.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(environment: dict[str, str], number: signal.Signals) -> None:
    with Terminal(ODYSSEY, environment) as terminal:
        terminal.wait_for("Welcome to odyssey")
        terminal.send(number)
        assert terminal.wait() == 128 + number
        assert "whatever runs goes on" in terminal.text
        assert terminal.restored


def test_a_terminal_that_vanishes_ends_the_application(environment: dict[str, str]) -> None:
    with Terminal(ODYSSEY, environment) as terminal:
        terminal.wait_for("Welcome to odyssey")
        terminal.vanish()
        assert terminal.exit_status == 128 + signal.SIGHUP
