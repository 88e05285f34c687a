"""The command that is called when an experiment has ended or something pauses by itself: once, and never in the way."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

import pytest

from engine.launch import notices as module
from engine.launch import requests
from engine.launch.notices import Notices
from engine.launch.status import read_status
from store.files import write_json
from store.workspace import Workspace

HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "ODYSSEY_SLOTS": "2"}


@pytest.fixture
def told(bench):
    """Set the command (by default: append what it is told to a file); returns what was told so far."""
    told_file = bench.workspace.root / "told.jsonl"
    names = "EVENT EXPERIMENT DONE FAILED WORKSPACE MESSAGE"
    fields = ", ".join(f'\\"{name.lower()}\\": \\"$ODYSSEY_{name}\\"' for name in names.split())

    def read() -> list[dict[str, str]]:
        return [json.loads(line) for line in told_file.read_text().splitlines()] if told_file.exists() else []

    def set_command(before: str = "", after: str = "") -> None:
        command = f'{before} echo "{{{fields}}}" >> told.jsonl; {after}'
        (bench.workspace.root / "settings.toml").write_text(f"on_finish = {json.dumps(command)}\n")
        bench.workspace = Workspace.open(bench.workspace.root)

    set_command()
    return SimpleNamespace(read=read, set_command=set_command)


def launch(bench, name, *run_ids):
    record = {"name": name, "key": "1", "runs": run_ids, "launched": 1.0}
    write_json(bench.workspace.experiments / f"{name}-1.json", record)


def summary(told):
    return [(one["event"], one["experiment"], one["done"], one["failed"]) for one in told.read()]


def test_the_end_of_an_experiment_is_told_once(bench, told, start_scheduler):
    bench.queue("a", "finish")
    bench.queue("b", "fail")
    bench.queue("c", "finish", "b")
    launch(bench, "law", "a", "b", "c")
    assert start_scheduler(idle_exit_s=0.2, **HIDDEN).wait(60) == 0
    assert summary(told) == [("finished", "law", "1", "1")]
    assert told.read()[0]["message"] == "law has ended (1 done, 1 failed, 1 held)"
    assert told.read()[0]["workspace"] == str(bench.workspace.root)
    # Nothing new: nothing is told again. A retry that ends is.
    assert start_scheduler(idle_exit_s=0.2, **HIDDEN).wait(60) == 0
    assert len(told.read()) == 1
    requests.retry(bench.workspace, ["b"])
    assert start_scheduler(idle_exit_s=0.2, **HIDDEN).wait(60) == 0
    assert summary(told) == [("finished", "law", "1", "1")] * 2


def test_an_end_that_a_killed_scheduler_left_untold_is_told_by_the_next(bench, told, start_scheduler, tmp_path):
    run_id = bench.queue("a", f"wait {tmp_path / 'go'}")
    launch(bench, "law", run_id)
    first = start_scheduler(**HIDDEN)
    bench.until(lambda: bench.state(run_id) == "running")
    bench.until(lambda: (bench.workspace.scheduler / "notices" / "finished-law.open").exists())
    first.kill()
    first.wait()
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done")
    assert told.read() == []
    assert start_scheduler(idle_exit_s=0.2, **HIDDEN).wait(60) == 0
    assert summary(told) == [("finished", "law", "1", "0")]


def test_two_schedulers_that_both_tell_an_end_tell_it_once(bench, told):
    bench.queue("a", "finish")
    launch(bench, "law", "a")
    folder = bench.workspace.scheduler / "notices"
    dispatcher = bench.dispatcher()
    first, second = Notices(bench.workspace), Notices(bench.workspace)
    dispatcher.tick()
    first.look(dispatcher.entries)
    bench.until(lambda: "a" not in dispatcher.entries, dispatcher)
    assert (folder / "finished-law.open").exists()
    first.look(dispatcher.entries)
    second.look(dispatcher.entries)
    bench.until(lambda: not (first.working or second.working))
    first.look(dispatcher.entries)
    assert not first.working
    assert len(told.read()) == 1
    assert [file.name for file in folder.iterdir()] == ["finished-law.told"]


def test_an_experiment_that_is_still_being_launched_has_not_ended(bench, told):
    bench.queue("a", "finish")
    launch(bench, "law", "a", "b")
    dispatcher, notices = bench.dispatcher(), Notices(bench.workspace)
    dispatcher.tick()
    notices.look(dispatcher.entries)
    bench.until(lambda: "a" not in dispatcher.entries, dispatcher)
    notices.look(dispatcher.entries)
    assert not notices.working
    bench.queue("b", "finish")
    dispatcher.tick()
    notices.look(dispatcher.entries)
    bench.until(lambda: "b" not in dispatcher.entries, dispatcher)
    notices.look(dispatcher.entries)
    bench.until(lambda: not notices.working)
    assert summary(told) == [("finished", "law", "2", "0")]


def test_a_pause_by_itself_is_told_and_one_asked_for_is_not(bench, told, start_scheduler):
    requests.pause(bench.workspace)
    bench.queue("a", "die")
    bench.queue("b", "die")
    launch(bench, "law", "a", "b")
    start_scheduler(**HIDDEN)
    bench.until(lambda: (bench.workspace.queue / "paused").exists())
    requests.resume(bench.workspace)
    bench.until(lambda: any(one["event"] == "paused" for one in told.read()))
    paused = [one for one in told.read() if one["event"] == "paused"]
    assert len(paused) == 1
    assert "is paused: " in paused[0]["message"]


def test_a_command_that_fails_or_hangs_is_in_nobodys_way(bench, told, caplog):
    now = [0.0]
    told.set_command(after="exit 7;")
    bench.queue("a", "finish")
    launch(bench, "law", "a")
    notices = Notices(bench.workspace, clock=lambda: now[0])
    dispatcher = bench.dispatcher()
    dispatcher.tick()
    notices.look(dispatcher.entries)
    bench.until(lambda: "a" not in dispatcher.entries, dispatcher)
    notices.look(dispatcher.entries)
    bench.until(lambda: not notices.working)
    assert "status 7" in caplog.text
    told.set_command(before="echo $$ > pid; sleep 600 &", after="wait;")
    hanging = Notices(bench.workspace, clock=lambda: now[0])
    bench.queue("b", "finish")
    launch(bench, "law", "a", "b")
    dispatcher.tick()
    hanging.look(dispatcher.entries)
    bench.until(lambda: "b" not in dispatcher.entries, dispatcher)
    began = time.monotonic()
    hanging.look(dispatcher.entries)
    assert time.monotonic() - began < 5
    bench.until(lambda: len(told.read()) == 2)
    assert hanging.working
    now[0] += module.LONGEST_S + 1
    assert not hanging.working
    assert "more than 60 s" in caplog.text
    group = int((bench.workspace.root / "pid").read_text())
    bench.until(lambda: not alive(group))


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_it_says_is_in_the_log_and_errors_stop_no_queue(bench, told, start_scheduler):
    told.set_command(before="echo said by the command; no-such-program;")
    (bench.workspace.experiments / "broken-1.json").write_text("{")
    run_id = bench.queue("a", "finish")
    scheduler = start_scheduler(**HIDDEN)
    bench.until(lambda: bench.state(run_id) == "done")
    (bench.workspace.experiments / "broken-1.json").unlink()
    launch(bench, "law", "a", "b")
    bench.queue("b", "finish")
    bench.until(lambda: summary(told) == [("finished", "law", "2", "0")])
    log = (bench.workspace.scheduler / "scheduler.log").read_text()
    assert "said by the command" in log
    assert "no-such-program" in log
    assert read_status(bench.workspace).identity.pid == scheduler.pid
