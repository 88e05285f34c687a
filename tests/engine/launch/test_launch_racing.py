"""However many schedulers are started, killed or robbed of their lock, one works, and no run is executed twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from engine.launch import scheduler as module
from engine.launch.lock import take_lock
from engine.launch.mailbox import Card, Mailbox, Order, Slot
from engine.launch.process import Identity, Instant
from engine.launch.scheduler import ensure_running
from engine.launch.status import Status, read_status, scheduler_alive, write_status
from store.journal import read_events
from store.workspace import Workspace

HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "ODYSSEY_SLOTS": "2"}


def schedulers(workspace: Workspace) -> list[psutil.Process]:
    """Live scheduler processes of the workspace, detached ones included."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        ours = str(workspace.root) in words and any(word.endswith("scripted_detached.py") for word in words)
        if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def executed(bench, run_id: str) -> list[str]:
    """The events that begin an attempt, over all attempts."""
    events = [read_events(attempt.events)[0] for attempt in bench.workspace.run(run_id).attempts()]
    return [event["event"] for attempt in events for event in attempt if event["event"] == "starting"]


@pytest.fixture
def scripted(monkeypatch):
    """Detached schedulers have scripted workers."""
    script = os.path.join(os.path.dirname(__file__), "scripted_detached.py")
    monkeypatch.setattr(module, "COMMAND", (sys.executable, script))
    for name, value in HIDDEN.items():
        monkeypatch.setenv(name, value)


def test_of_twenty_clients_at_once_one_starts_a_scheduler_that_stays(bench, scripted):
    run_ids = [bench.queue(f"run-{number}", "finish") for number in range(4)]
    together = threading.Barrier(20)

    def ask():
        together.wait()
        ensure_running(bench.workspace)

    clients = [threading.Thread(target=ask) for _ in range(20)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    bench.until(lambda: all(bench.state(run_id) == "done" for run_id in run_ids))
    bench.until(lambda: len(schedulers(bench.workspace)) == 1)
    assert scheduler_alive(bench.workspace)
    assert [executed(bench, run_id) for run_id in run_ids] == [["starting"]] * 4


def test_a_scheduler_killed_before_it_did_anything_leaves_no_lock(bench, scripted):
    code = (
        "import sys, time; from store.workspace import Workspace; from engine.launch.lock import take_lock\n"
        "lock = take_lock(Workspace.open(sys.argv[1])); print(lock is not None, flush=True); time.sleep(600)"
    )
    command = (sys.executable, "-c", code, str(bench.workspace.root))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        run_id = bench.queue("only", "finish")
        assert not ensure_running(bench.workspace)
        holder.kill()
        holder.wait()
    assert ensure_running(bench.workspace)
    bench.until(lambda: bench.state(run_id) == "done")


def test_a_removed_lock_is_made_anew(tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    first = take_lock(workspace)
    assert take_lock(workspace) is None
    first.path.unlink()
    assert first.keep()
    assert take_lock(workspace) is None
    first.path.unlink()
    second = take_lock(workspace)
    assert not first.keep()
    assert second.keep()
    first.release()
    second.release()
    assert take_lock(workspace) is not None


def test_a_scheduler_whose_lock_was_taken_leaves_its_work_to_the_other(bench, start_scheduler, tmp_path):
    running = bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1)
    after = bench.queue("b-after", "finish", running)
    first = start_scheduler(**HIDDEN)
    bench.until(lambda: bench.state(running) == "running")
    first.send_signal(signal.SIGSTOP)  # it can notice nothing while the other starts
    (bench.workspace.scheduler / "lock").unlink()
    second = start_scheduler(**HIDDEN)
    log = bench.workspace.scheduler / "lock"
    bench.until(log.exists)
    assert read_status(bench.workspace).identity.pid == first.pid
    first.send_signal(signal.SIGCONT)
    assert first.wait(30) == 3
    bench.until(lambda: read_status(bench.workspace).identity.pid == second.pid)
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(after) == "done")
    assert second.poll() is None
    assert executed(bench, running) == ["starting"]
    assert bench.said(running) == ["queued", "assigned"]


def test_the_end_of_a_terminal_ends_no_scheduler(bench, scripted):
    """The client is the leader of a session with a terminal, which is closed."""
    run_id = bench.queue("only", "finish")
    main, terminal = os.openpty()
    script = os.path.join(os.path.dirname(__file__), "scripted_detached.py")
    code = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from engine.launch import scheduler; scheduler.COMMAND = (sys.executable, sys.argv[2])\n"
        "from store.workspace import Workspace; scheduler.ensure_running(Workspace.open(sys.argv[1]))\n"
        "print('started', flush=True); input()"
    )
    command = (sys.executable, "-c", code, str(bench.workspace.root), script)
    client = subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, start_new_session=True, text=True)
    os.close(terminal)
    assert client.stdout.readline() == "started\n"
    bench.until(lambda: scheduler_alive(bench.workspace))
    os.close(main)
    assert client.wait(30) != 0  # it got SIGHUP, or its input ended
    client.stdout.close()
    bench.until(lambda: bench.state(run_id) == "done")
    assert scheduler_alive(bench.workspace)


def test_after_a_reboot_processes_of_before_count_as_dead(bench, start_scheduler, tmp_path):
    """Files of the boot before name this very process, whose number and start time are alive now."""
    run_id = bench.queue("only", "finish")
    before = Identity(os.getpid(), Identity.current().pid_started, "the boot before", Identity.current().host)
    write_status(bench.workspace, Status(before))
    run = bench.workspace.run(run_id)
    attempt = run.new_attempt()
    mailbox = Mailbox(bench.workspace.workers / "cpu0-old")
    mailbox.write_slot(Slot("cpu0", None, 1))
    mailbox.write_card(Card(before, finished=0, warm=True))
    mailbox.write_order(Order(1, run_id, attempt.number, given=Instant(9e9, "the boot before")))
    from engine.launch.entry import say
    from engine.report import Report

    say(run, "queued")
    say(run, "assigned", attempt=1, worker="cpu0-old")
    with Report(attempt) as report:
        report.emit("starting", pid=before.pid)
        report.running(1, "steps")
    assert not scheduler_alive(bench.workspace)
    assert bench.state(run_id) == "running"
    start_scheduler(**HIDDEN)
    bench.until(lambda: bench.state(run_id) == "done")
    lost = next(event for event in read_events(run.control)[0] if event["event"] == "lost")
    assert "restarted" in lost["reason"]
    assert run.state().attempt == 2
    assert not mailbox.path.exists()
