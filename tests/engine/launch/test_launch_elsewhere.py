"""Two machines on one workspace, and a copy of a workspace beside the original that lives."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.launch import requests
from engine.launch.dispatcher import Dispatcher
from engine.launch.mailbox import Card, Mailbox, Order, Slot, Watched, parse_card, parse_order
from engine.launch.process import Identity, Instant
from engine.launch.queue_state import queue_state
from engine.launch.scheduler import Scheduler, ensure_running
from engine.launch.status import Status, leave, read_status, scheduler_alive, works_elsewhere, write_status
from engine.launch.workers import ELSEWHERE_S, Worker
from engine.report import Report
from odyssey_tui.services.queue import read_queue
from store.errors import DataError
from store.workspace import Workspace


@pytest.fixture
def stranger() -> Identity:
    """A process of another machine, whose number and start time are this one's."""
    return replace(Identity.current(), boot_id="another boot", host="other-host")


def test_a_scheduler_of_another_machine_is_left_to_work(bench, stranger):
    bench.queue("only", "finish")
    write_status(bench.workspace, Status(stranger))
    assert not ensure_running(bench.workspace)
    assert not Scheduler(bench.workspace, idle_exit_s=0.0).run()
    assert scheduler_alive(bench.workspace)
    view = queue_state(bench.workspace)
    assert (view.scheduler_alive, view.scheduler_pid, view.scheduler_host) == (True, None, "other-host")
    assert any("the scheduler works on other-host" in note for note in read_queue(bench.workspace).notes)
    requests.pause(bench.workspace)
    assert len(requests.read_requests(bench.workspace)) == 1


@pytest.mark.parametrize("sign", ["silent", "left"])
def test_one_that_is_silent_or_has_left_is_replaced(bench, stranger, sign):
    write_status(bench.workspace, Status(stranger))
    if sign == "left":
        leave(bench.workspace)
    else:
        path = bench.workspace.scheduler / "scheduler.json"
        old = path.stat().st_mtime - ELSEWHERE_S - 1
        os.utime(path, (old, old))
    assert not works_elsewhere(bench.workspace, read_status(bench.workspace))
    assert Scheduler(bench.workspace, command=("false",), idle_exit_s=0.0).run()
    assert read_status(bench.workspace).identity == Identity.current()


def test_one_of_this_machine_before_a_reboot_is_no_stranger(stranger):
    assert stranger.elsewhere
    assert not replace(stranger, host=Identity.current().host).elsewhere
    assert not replace(stranger, boot_id=Identity.current().boot_id).elsewhere


def test_a_worker_of_another_machine_lives_while_its_run_is_written(bench, stranger):
    run_id = bench.queue("only", "finish")
    attempt = bench.workspace.run(run_id).new_attempt()
    mailbox = Mailbox(bench.workspace.workers / "cpu0-far")
    mailbox.write_slot(Slot("cpu0", None, 1))
    order = Order(1, run_id, 1, given=Instant.now())
    mailbox.write_order(order)
    mailbox.write_card(Card(stranger))
    worker = Worker("cpu0-far", Slot("cpu0", None, 1), mailbox, order)
    with Report(attempt) as report:
        report.emit("starting")
        assert worker.alive()
        worker.kill()  # its number belongs to a process of this machine: this one
        old = attempt.events.stat().st_mtime - ELSEWHERE_S - 1
        os.utime(attempt.events, (old, old))
        assert not worker.alive()


def test_a_copy_of_a_workspace_neither_adopts_nor_kills_the_processes_of_the_original(bench, tmp_path: Path):
    run_id = bench.queue("only", f"wait {tmp_path / 'go'}")
    original = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", original)
    write_status(bench.workspace, Status(Identity.current()))
    shutil.copytree(bench.workspace.root, tmp_path / "copy")
    copy = Workspace.open(tmp_path / "copy")
    assert scheduler_alive(bench.workspace)
    assert not scheduler_alive(copy)
    requests.cancel(copy, [run_id])
    there = Dispatcher(copy, original.slots, command=("false",))
    assert not there.pool.workers
    there.tick()
    assert bench.state(run_id) == "running"
    (worker,) = original.pool.workers.values()
    assert worker.alive()
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", original)


def test_a_workspace_reached_by_another_path_is_the_same(bench, tmp_path: Path):
    write_status(bench.workspace, Status(Identity.current()))
    (tmp_path / "link").symlink_to(bench.workspace.root)
    assert scheduler_alive(Workspace.open(tmp_path / "link"))


@pytest.mark.parametrize("content", ["", "[]", "{}", "\0\0", '{"identity": 1}', '{"identity": {"pid": "x"}}'])
def test_a_damaged_account_is_nobodys(bench, content: str):
    (bench.workspace.scheduler / "scheduler.json").write_text(content)
    assert read_status(bench.workspace) is None
    assert not queue_state(bench.workspace).scheduler_alive


def test_a_damaged_order_or_card_changes_nothing_for_who_knew_it(bench):
    mailbox = Mailbox(bench.workspace.workers / "cpu0-x")
    mailbox.write_order(Order(1, "a", 1))
    mailbox.write_card(Card(Identity.current()))
    inbox, card = Watched(mailbox.inbox, parse_order), Watched(mailbox.card, parse_card)
    before = inbox.read(), card.read()
    for path in (mailbox.inbox, mailbox.card):
        path.write_text('{"seq": "many", "identity": 7}')
    assert (inbox.read(), card.read()) == before
    assert Watched(mailbox.inbox, parse_order).read() is None
    mailbox.slot.write_text("[]")
    with pytest.raises(DataError, match=r"slot\.json"):
        mailbox.read_slot()


def test_the_heart_of_a_scheduler_beats_while_it_rests(bench, monkeypatch):
    from engine.launch import scheduler as module

    monkeypatch.setattr(module, "BEAT_EVERY_S", 0.0)
    beats = []
    monkeypatch.setattr(module, "beat", lambda workspace: beats.append(workspace.root))
    worker = module.Scheduler(bench.workspace, command=("false",), idle_exit_s=0.0)
    assert worker.run()
    assert beats
    assert (bench.workspace.scheduler / "scheduler.json").stat().st_mtime == 0
