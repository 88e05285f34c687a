"""The queue's commands against real dispatchers and workers: what they show is so, what they ask for happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.launch import requests
from engine.launch.progress import Progress
from odyssey_tui.cli.main import run
from odyssey_tui.services.queue import read_queue
from store.files import write_json

COMMAND = Path(__file__).with_name("scripted_command.py")


@pytest.fixture
def call(bench, monkeypatch, capsys):
    """Call ``odyssey`` without a scheduler of its own; returns status, stdout and stderr."""
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)
    monkeypatch.setenv("COLUMNS", "160")

    def call_one(*arguments: str) -> tuple[int, str, str]:
        status = run([*arguments, "-w", str(bench.workspace.root)])
        told = capsys.readouterr()
        return status, told.out, told.err

    return call_one


def shown(bench) -> dict[str, tuple[str, str]]:
    """State and reason of what the queue lists, in its order."""
    return {entry.run_id: (entry.state, entry.reason) for entry in read_queue(bench.workspace).entries}


def launched(bench, name: str, *run_ids: str) -> None:
    content = {"name": name, "key": "1", "runs": run_ids, "launched": 1.0}
    write_json(bench.workspace.experiments / f"{name}-1.json", content)


def test_the_queue_says_what_each_run_waits_for(bench, call, tmp_path):
    running = bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1)
    bench.queue("b-first", "finish", "a-run")
    bench.queue("c-both", "finish", "a-run", "b-first")
    bench.queue("d-other", "finish", experiment="other")
    bench.queue("e-held", "finish")
    requests.hold(bench.workspace, ["e-held"])
    requests.pause(bench.workspace, ["other"])
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(running) == "running", dispatcher)
    Progress(bench.workspace, dispatcher.slots).write(dispatcher)
    assert shown(bench) == {
        "a-run": ("running", ""),
        "b-first": ("queued", "needs a-run"),
        "d-other": ("queued", "other is paused"),
        "c-both": ("queued", "needs a-run and 1 more"),
        "e-held": ("held", "held on request"),
    }
    status, out, err = call("queue")
    assert status == 0
    assert "other is paused: asked for ('odyssey resume --experiment other' goes on)" in err
    assert [line.split()[2] for line in out.splitlines()[1:]] == list(shown(bench))
    told = json.loads(call("queue", "--json")[1])
    assert told["paused_experiments"] == {"other": "asked for"}
    first = told["runs"][0]
    assert (first["run_id"], first["slot"], first["attempt"]) == ("a-run", "cpu0", 1)
    assert told["runs"][-1]["held_on_request"]


def test_how_far_a_needed_run_is(bench):
    bench.queue("a-run", "finish")
    bench.queue("b-next", "finish", "a-run")
    events = bench.workspace.run("a-run").new_attempt().events
    events.write_text(
        '{"seq":0,"t":1.0,"event":"starting"}\n{"seq":1,"t":1.0,"event":"running","total":100}\n'
        '{"seq":2,"t":2.0,"event":"progress","done":62,"total":100}\n'
    )
    assert shown(bench)["b-next"] == ("queued", "needs a-run (62 %)")


def test_what_ended_badly_is_shown_until_it_is_queued_again(bench, call):
    failing, lost = bench.queue("a-fail", "fail"), bench.queue("b-die", "die", experiment="other")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(lost) == "lost" and not dispatcher.entries, dispatcher)
    _, out, err = call("queue")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["lost", "failed"]
    assert f"b-die lost: {bench.reason(lost)}\n" in err
    assert "a-fail failed: no text; in the corpus Give it some.\n" in err
    assert call("logs", lost)[1:] == ("the last words\n", f"lost: {bench.reason(lost)}\n")
    assert call("logs", failing)[2] == "failed: no text; in the corpus\n  Give it some.\n"
    assert "  | the last words" in call("show", lost)[1]
    call("retry", failing)
    assert [entry.run_id for entry in read_queue(bench.workspace).bad] == [lost]


def test_a_run_queued_again_says_why(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'never'}")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    requests.pause(bench.workspace)
    os.kill(bench.workspace.run(run_id).state().pid, signal.SIGTERM)
    bench.until(lambda: bench.state(run_id) == "queued", dispatcher)
    (entry,) = read_queue(bench.workspace).entries
    assert entry.attempt == 2
    assert entry.reason.startswith("again: the worker was told to end")


def test_a_run_that_a_command_executes_is_said_to_be(bench, call, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'go'}")
    (bench.workspace.tickets / "only.json").unlink()
    command = subprocess.Popen((sys.executable, str(COMMAND), str(bench.workspace.root), run_id))
    try:
        bench.until(lambda: bench.state(run_id) == "running")
        _, out, err = call("queue")
        assert "a command" in out
        assert err == "executed by a command, not by the queue: only\n"
        assert "executed by a command" in call("pause", run_id)[2]
    finally:
        (tmp_path / "go").touch()
        command.wait(30)
    assert bench.state(run_id) == "done"


def test_experiments_are_cancelled_and_retried_but_for_what_others_need(bench, call, tmp_path):
    shared, own = bench.queue("a-shared", f"wait {tmp_path / 'go'}", priority=1), bench.queue("b-own", "finish")
    bench.queue("c-other", "finish", "a-shared", experiment="other")
    launched(bench, "test", shared, own)
    launched(bench, "other", shared, "c-other")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(shared) == "running", dispatcher)
    status, _, err = call("cancel", "--experiment", "test")
    assert (status, err) == (0, "asked to cancel: b-own\n1 run is left alone: other needs them too\n")
    bench.until(lambda: bench.state(own) == "cancelled", dispatcher)
    status, _, err = call("cancel", "-e", "test", "-e", "other")
    assert status == 1
    assert err.startswith("error: This stops 1 running: a-shared\n  Give --yes if that is meant.")
    assert call("cancel", "-e", "test", "-e", "other", "--yes")[0] == 0
    bench.until(lambda: not dispatcher.entries, dispatcher)
    (tmp_path / "go").touch()
    assert call("retry", "-e", "other")[2] == "queued again: a-shared, c-other\n"
    bench.until(lambda: bench.state("c-other") == "done", dispatcher)
    assert bench.state(own) == "cancelled"


def test_names_of_experiments_are_checked_and_the_nearest_named(bench, call):
    bench.queue("only", "finish", experiment="study")
    for command in "pause", "resume", "cancel", "retry":
        status, _, err = call(command, "--experiment", "stduy")
        assert (status, err.splitlines()[1]) == (1, "  Did you mean 'study'?")
    assert call("move", "only")[0] == 2
    assert call("cancel")[0] == 2
    assert not list((bench.workspace.queue / "requests").iterdir())


def test_single_runs_are_held_let_go_and_moved(bench, call):
    for name in "abc":
        bench.queue(f"{name}-run", "finish")
    dispatcher = bench.dispatcher()
    requests.pause(bench.workspace)
    call("pause", "a-run")
    call("move", "c-run", "--top")
    dispatcher.tick()
    assert list(shown(bench)) == ["c-run", "b-run", "a-run"]
    assert "held on request" in call("retry", "a-run")[2]
    assert call("resume", "b-run")[0] == 1
    assert call("resume", "a-run")[0] == 0
    dispatcher.tick()
    assert shown(bench)["a-run"] == ("queued", "")


def test_following_a_log_prints_all_of_every_attempt_and_ends_with_the_run(bench):
    run_id = bench.queue("only", "die_once")
    following = subprocess.Popen(
        (sys.executable, "-m", "odyssey_tui", "-w", str(bench.workspace.root), "logs", "-f", run_id),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stderr.readline() == "it has not started yet\n"
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(following.communicate()))
    reader.start()
    bench.until(lambda: bench.state(run_id) == "done", bench.dispatcher())
    reader.join(30)
    assert following.returncode == 0
    assert told == ["the last words\n", "attempt 1\nattempt 2\n"]


def test_what_waits_takes_the_priority_and_resources_given_last(bench, call):
    from engine.launch.submit import enqueue
    from engine.spec.run import Resources, RunSpec

    names = [bench.queue(f"{name}-run", "finish", processes=9) for name in "ab"]
    dispatcher = bench.dispatcher()
    dispatcher.tick()
    assert {bench.state(name) for name in names} == {"held"}
    spec = RunSpec.model_validate(bench.workspace.run("b-run").spec())
    enqueue(bench.workspace, [spec.model_copy(update={"resources": Resources()})], {"b-run": 0.0}, 1.0)
    bench.until(lambda: bench.state("b-run") == "done", dispatcher)
    assert bench.state("a-run") == "held"
    assert call("launch", "demo", "--priority", "soon", "--dry-run")[0] == 2
