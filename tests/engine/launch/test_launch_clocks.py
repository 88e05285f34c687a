"""Setting the clock of the wall by a day, either way, decides nothing: not in a process, not across processes."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from engine.launch.mailbox import Mailbox, Order, Slot
from engine.launch.process import Instant, boot_id
from engine.launch.progress import measured_s
from engine.launch.workers import BIRTH_S, Pool
from store.files import write_atomic
from store.workspace import Workspace

DAY_S = 86_400.0
STEPS = pytest.mark.parametrize("step_s", [-DAY_S, DAY_S])


def set_clock(monkeypatch, step_s):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + step_s)


@STEPS
def test_a_worker_not_yet_introduced_has_its_time_whatever_its_files_say(tmp_path, step_s):
    workspace = Workspace.create(tmp_path / "w")
    began = {"young": time.monotonic() - 1, "old": time.monotonic() - BIRTH_S - 1}
    for name, since_boot in began.items():
        mailbox = Mailbox(workspace.workers / name)
        mailbox.write_slot(Slot("cpu0", None, 1))
        mailbox.write_order(Order(given=Instant(since_boot, boot_id())))
        for file in (mailbox.slot, mailbox.inbox):
            os.utime(file, (time.time() + step_s,) * 2)
    pool = Pool(workspace)
    pool.adopt()
    assert {name: worker.alive() for name, worker in pool.workers.items()} == {"young": True, "old": False}
    assert pool.workers["young"].occupied_s == pytest.approx(1, abs=30)


@STEPS
@pytest.mark.parametrize("adopted", [False, True])
def test_an_early_death_stays_early(bench, monkeypatch, tmp_path, step_s, adopted):
    run_id = bench.queue("only", f"ignore {tmp_path / 'never'}")
    dispatcher = bench.dispatcher(early_death_s=100.0)
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    set_clock(monkeypatch, step_s)
    if adopted:
        inbox = next(bench.workspace.workers.glob("*/inbox.json"))
        os.utime(inbox, (time.time(),) * 2)
        dispatcher = bench.dispatcher(early_death_s=100.0)
    os.kill(bench.workspace.run(run_id).state().pid, signal.SIGKILL)
    bench.until(lambda: bench.state(run_id) == "lost", dispatcher)
    dispatcher.tick()
    assert bench.state(run_id) == "lost"  # dead within its first seconds, and nothing saved: not tried again


@STEPS
def test_a_run_that_lived_long_is_tried_again(bench, monkeypatch, tmp_path, step_s):
    run_id = bench.queue("only", f"ignore {tmp_path / 'go'}")
    dispatcher = bench.dispatcher(early_death_s=0.0)
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    set_clock(monkeypatch, step_s)
    os.kill(bench.workspace.run(run_id).state().pid, signal.SIGKILL)
    bench.until(lambda: bench.running_as(run_id, 2), dispatcher)
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)


@STEPS
def test_a_cancelled_run_keeps_its_grace(bench, monkeypatch, tmp_path, step_s):
    from engine.launch import requests

    run_id = bench.queue("only", f"ignore {tmp_path / 'go'}")
    dispatcher = bench.dispatcher(stop_grace_s=600.0)
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    requests.cancel(bench.workspace, [run_id])
    bench.until(lambda: bench.state(run_id) == "stopping", dispatcher)
    set_clock(monkeypatch, step_s)
    for _ in range(3):
        dispatcher.tick()
    assert not dispatcher.entries[run_id].worker.killed
    (tmp_path / "go").touch()
    bench.until(lambda: run_id not in dispatcher.entries, dispatcher)


@STEPS
def test_the_pace_is_what_runs_measured_themselves(bench, step_s):
    run_id = bench.queue("only", "finish")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)
    journal = bench.workspace.run(run_id).attempt(1).events
    *before, last = journal.read_text().splitlines()
    event = json.loads(last)
    write_atomic(journal, "\n".join([*before, json.dumps({**event, "t": event["t"] + step_s})]) + "\n")
    run = bench.workspace.run(run_id)
    assert abs(run.state().ended - run.state().started) > DAY_S / 2
    assert 0 <= measured_s(run, 1) < 60
