"""The scheduler as a process: one per workspace, replaceable at any moment, gone when idle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.launch import requests
from engine.launch.queue_state import queue_state
from engine.launch.scheduler import ensure_running
from engine.launch.status import read_status, scheduler_alive
from store.errors import ConfigError
from store.files import write_json

SCRIPT = Path(__file__).with_name("scripted_scheduler.py")


@pytest.fixture
def start(bench):
    """Start scripted schedulers; all are gone afterwards."""
    started = []

    def start_one(idle_exit_s: float = 60.0) -> subprocess.Popen:
        command = (sys.executable, str(SCRIPT), str(bench.workspace.root), str(idle_exit_s))
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ODYSSEY_SLOTS": "2"}
        started.append(subprocess.Popen(command, env=environment))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def test_two_run_queue_is_worked_off_and_the_scheduler_leaves(bench, start):
    bench.queue("first", "finish")
    bench.queue("second", "finish", "first")
    assert start(idle_exit_s=0.3).wait(30) == 0
    assert [bench.state(run_id) for run_id in ("first", "second")] == ["done", "done"]
    assert not scheduler_alive(bench.workspace)
    bench.until(lambda: not list(bench.workspace.workers.iterdir()))


def test_of_racing_schedulers_one_works(bench, start):
    racing = [start(), start(), start()]
    run_id = bench.queue("only", "finish")
    bench.until(lambda: bench.state(run_id) == "done")
    bench.until(lambda: sum(process.poll() is None for process in racing) == 1)
    assert sorted(process.poll() for process in racing if process.poll() is not None) == [3, 3]
    assert bench.said(run_id) == ["queued", "assigned"]


def test_a_killed_scheduler_is_replaced_and_loses_nothing(bench, start, tmp_path):
    running, after = (
        bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1),
        bench.queue("b-after", "finish", "a-run"),
    )
    first = start()
    bench.until(lambda: bench.state(running) == "running")
    first.kill()
    first.wait()
    start()
    bench.until(lambda: scheduler_alive(bench.workspace))
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(after) == "done")
    assert bench.said(running) == ["queued", "assigned"]


def test_a_run_that_ended_without_a_scheduler_counts(bench, start, tmp_path):
    running, after = (
        bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1),
        bench.queue("b-after", "finish", "a-run"),
    )
    first = start()
    bench.until(lambda: bench.state(running) == "running")
    first.kill()
    first.wait()
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(running) == "done")
    start()
    bench.until(lambda: bench.state(after) == "done")
    assert bench.workspace.run(running).state().attempt == 1


def test_sigterm_leaves_workers_to_the_next(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'go'}")
    assert ensure_running(bench.workspace)
    bench.until(lambda: scheduler_alive(bench.workspace))
    assert not ensure_running(bench.workspace)
    scheduler = read_status(bench.workspace).identity
    bench.until(lambda: bench.state(run_id) in ("starting", "failed"))
    os.kill(scheduler.pid, signal.SIGTERM)
    bench.until(lambda: not scheduler.alive())


def test_hangup_is_survived(bench):
    bench.queue("only", "finish")
    requests.pause(bench.workspace)
    assert ensure_running(bench.workspace)
    bench.until(lambda: scheduler_alive(bench.workspace) and bench.said("only") == ["queued"])
    scheduler = read_status(bench.workspace).identity
    os.kill(scheduler.pid, signal.SIGHUP)
    requests.cancel(bench.workspace, ["only"])
    bench.until(lambda: bench.state("only") == "cancelled")
    assert scheduler.alive()


def test_a_damaged_finished_run_stops_nothing(bench, start):
    bench.queue("first", "finish")
    bench.queue("second", "finish", "first")
    assert start(idle_exit_s=0.1).wait(30) == 0
    bench.workspace.run("first").spec_path.write_text('{"')
    bench.queue("third", "finish")
    launched = {"name": "test", "key": "1", "runs": ["first", "second", "third"], "launched": 1.0}
    write_json(bench.workspace.experiments / "test-1.json", launched)
    assert start(idle_exit_s=0.1).wait(30) == 0
    assert bench.state("third") == "done"
    assert read_status(bench.workspace).finished == 2


def test_slots_variable_is_checked_before_anything_starts(bench, monkeypatch):
    monkeypatch.setenv("ODYSSEY_SLOTS", "many")
    with pytest.raises(ConfigError, match="ODYSSEY_SLOTS=many"):
        ensure_running(bench.workspace)


def test_queue_state_shows_slots_and_order(bench, start, tmp_path):
    bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=3)
    bench.queue("b-next", "finish", "a-run", priority=2)
    bench.queue("c-last", "finish", "b-next", priority=1)
    before = queue_state(bench.workspace)
    assert (before.scheduler_alive, before.queued, before.eta_s) == (False, ("a-run", "b-next", "c-last"), None)
    start()
    bench.until(lambda: any(slot.run is not None and slot.run.state == "running" for slot in _slots(bench)))
    now = queue_state(bench.workspace)
    assert now.scheduler_alive
    assert {slot.run_id for slot in now.slots} == {"a-run", ""}
    assert now.queued == ("b-next", "c-last")
    assert now.eta_s > 0
    (tmp_path / "go").touch()
    bench.until(lambda: queue_state(bench.workspace).share == 1.0)
    assert queue_state(bench.workspace).queued == ()


def _slots(bench):
    return queue_state(bench.workspace).slots
