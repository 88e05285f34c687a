"""Code that changes while a queue is worked on: what executes a run is what is on the disk, and each run says which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.code import Code, hash_sources, parse_code, read_code, stamp_sources
from engine.launch import requests
from engine.launch.status import scheduler_alive
from engine.launch.tickets import read_ticket, write_ticket
from store.journal import read_events

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("scripted_scheduler.py")
ROLL_CALL = """
import os as _os
with open(_os.environ["ROLL_CALL"], "a") as _file:
    _file.write(f"{_os.getpid()}\\n")
"""


@pytest.fixture
def sources(tmp_path) -> Path:
    """A copy of the sources that a test may change."""
    for package in ("engine", "store"):
        shutil.copytree(ROOT / package, tmp_path / "site" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


@pytest.fixture
def scheduler(bench, sources, tmp_path):
    """A real scheduler, with real workers, of the copied sources."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(sources),
        "ROLL_CALL": str(tmp_path / "roll_call"),
        "CUDA_VISIBLE_DEVICES": "",
        "ODYSSEY_SLOTS": "1",
    }
    process = subprocess.Popen((sys.executable, "-P", str(SCRIPT), str(bench.workspace.root), "60"), env=environment)
    bench.until(lambda: scheduler_alive(bench.workspace))
    yield process
    process.kill()
    process.wait()


def code_of(bench, run_id: str) -> str:
    """The hash of the code that executed a run."""
    events, _ = read_events(bench.workspace.run(run_id).latest_attempt().events)
    return events[0]["code"]["hash"]


def warnings_of(bench, run_id: str) -> list[str]:
    events, _ = read_events(bench.workspace.run(run_id).latest_attempt().events)
    return [event["message"] for event in events if event["event"] == "warning"]


def test_a_hash_covers_every_source_and_nothing_else(sources):
    before, stamp = hash_sources(sources), stamp_sources(sources)
    (sources / "engine" / "__pycache__").mkdir()
    (sources / "engine" / "__pycache__" / "worker.py").write_text("cached")
    (sources / "engine" / "notes.txt").write_text("no source")
    assert (hash_sources(sources), stamp_sources(sources)) == (before, stamp)
    (sources / "store" / "migrations" / "9999_more.sql").write_text("SELECT 1")
    assert hash_sources(sources) != before
    assert stamp_sources(sources) != stamp


def test_code_is_told_in_words_and_survives_a_journal():
    code = read_code()
    assert parse_code(code.record()) == code
    assert parse_code({"hash": 1}) is None
    assert parse_code(None) is None
    assert str(Code("abc", "1.0", "0123456789abcdef", True)) == "1.0 (abc, commit 0123456789 with changes)"
    assert str(Code("abc", "1.0")) == "1.0 (abc)"


def test_a_run_that_is_executed_by_other_code_than_it_was_queued_with_says_so(bench):
    same, other = bench.queue("a-same", "finish"), bench.queue("b-other", "finish")
    here = read_code()
    for run_id, code in (same, here), (other, Code("000000000000", "0.0.1")):
        ticket = read_ticket(bench.workspace, run_id)
        write_ticket(bench.workspace, type(ticket)(**{**vars(ticket), "code": code.record()}))
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(other) == "done", dispatcher)
    assert warnings_of(bench, same) == []
    assert warnings_of(bench, other) == [f"queued with code 0.0.1 (000000000000), executed by {here}"]
    # Asked for again, it is wanted with the code of now.
    requests.cancel(bench.workspace, [bench.queue("c-late", "finish")])
    requests.retry(bench.workspace, ["c-late"])
    bench.until(lambda: bench.state("c-late") == "done", dispatcher)
    retried = [event for event in read_events(bench.workspace.run("c-late").control)[0] if event["event"] == "retried"]
    assert retried[0]["code"] == here.record()
    assert warnings_of(bench, "c-late") == []


def test_idle_workers_and_the_scheduler_give_way_to_new_code(bench, sources, scheduler, tmp_path):
    running = bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1)
    after = bench.queue("b-after", "finish")
    bench.until(lambda: bench.state(running) == "running")
    before = hash_sources(sources)
    with (sources / "engine" / "launch" / "dispatcher.py").open("a") as file:
        file.write(ROLL_CALL)
    called = tmp_path / "roll_call"
    bench.until(lambda: called.exists() and str(scheduler.pid) in called.read_text().split())
    bench.until(lambda: scheduler_alive(bench.workspace))
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(after) == "done")
    assert bench.said(running) == ["queued", "assigned"]
    assert (code_of(bench, running), code_of(bench, after)) == (before, hash_sources(sources))
    assert bench.workspace.run(running).state().pid != bench.workspace.run(after).state().pid


def test_code_that_cannot_be_imported_replaces_no_scheduler(bench, sources, scheduler, tmp_path):
    running = bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1)
    bench.until(lambda: bench.state(running) == "running")
    source = sources / "engine" / "launch" / "progress.py"
    whole = source.read_text()
    with source.open("a") as file:
        file.write(f"{ROLL_CALL}\n)")
    with (sources / "engine" / "launch" / "dispatcher.py").open("a") as file:
        file.write(ROLL_CALL)
    called = tmp_path / "roll_call"
    # The probe has imported the dispatcher, and stumbled over what comes next.
    bench.until(called.exists)
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(running) == "done")
    assert scheduler.poll() is None
    assert str(scheduler.pid) not in called.read_text().split()
    source.write_text(whole)
    bench.until(lambda: str(scheduler.pid) in called.read_text().split())
