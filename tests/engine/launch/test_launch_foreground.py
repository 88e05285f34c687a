"""Runs executed by a command: like any other run, one owner at a time, stopped properly, taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.launch import foreground as module
from engine.launch.claims import list_claimed, settle_abandoned, take_claim
from engine.launch.foreground import Foreground
from engine.launch.requests import cancel, retry
from engine.launch.tickets import Ticket, remove_ticket, write_ticket
from engine.spec.run import Resources, RunSpec
from store.errors import ConfigError

WORKER = (sys.executable, str(Path(__file__).with_name("scripted_bound_worker.py")))
COMMAND = (sys.executable, str(Path(__file__).with_name("scripted_command.py")))


def make(bench, run_id: str, script: str, *needs: str) -> RunSpec:
    """A run that exists and is in nobody's queue."""
    bench.queue(run_id, script, *needs)
    remove_ticket(bench.workspace, run_id)
    return RunSpec.model_validate(bench.workspace.run(run_id).spec())


def work(bench, *specs: RunSpec, look=lambda moment: None):
    """Execute runs with a scripted worker; returns what ``Foreground.work`` does."""
    with Foreground(bench.workspace, specs, command=WORKER) as command:
        return (
            command.work(lambda moment: look(command, moment)) if look.__code__.co_argcount > 1 else command.work(look)
        )


def test_what_is_needed_comes_first_and_nothing_is_done_twice(bench):
    specs = [make(bench, "first", "finish"), make(bench, "second", "finish", "first")]
    assert work(bench, *specs) is None
    assert [bench.state(run_id) for run_id in ("first", "second")] == ["done", "done"]
    assert bench.said("second") == ["assigned"]
    assert "said on stdout" in bench.workspace.run("second").attempt(1).console.read_text()
    assert work(bench, *specs) is None
    assert bench.workspace.run("first").latest_attempt().number == 1
    assert not list(bench.workspace.workers.iterdir())
    assert list_claimed(bench.workspace) == frozenset()


def test_a_run_made_for_more_processes_is_executed_by_as_many_as_are_asked_for_now(bench):
    made = bench.queue("run", "finish", processes=64)
    remove_ticket(bench.workspace, made)
    spec = RunSpec.model_validate(bench.workspace.run(made).spec())
    assert work(bench, spec.model_copy(update={"resources": Resources()})) is None
    assert bench.workspace.run(made).spec()["resources"]["processes"] == 1


def test_what_the_machine_lacks_is_refused_unless_it_is_done(bench, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    first, second = make(bench, "first", "finish"), make(bench, "second", "finish", "first")
    assert work(bench, first) is None
    wide = first.model_copy(update={"resources": Resources(processes=64)})
    assert work(bench, wide, second) is None
    third = make(bench, "third", "finish")
    with pytest.raises(ConfigError, match="third wants 1 GPU; this machine has none"):
        work(bench, wide, third.model_copy(update={"resources": Resources(gpus=1)}))
    assert bench.state("third") == "queued"


def test_a_failure_ends_it_with_reason_and_hint(bench):
    specs = [make(bench, "first", "fail"), make(bench, "second", "finish", "first")]
    ended = work(bench, *specs)
    assert (ended.state, ended.reason, ended.hint) == ("failed", "no text; in the corpus", "Give it some.")
    assert bench.said("second") == []


def test_a_stopped_run_is_cancelled_and_goes_on_in_a_next_attempt(bench, tmp_path):
    spec = make(bench, "run", f"wait {tmp_path / 'go'}")

    def stop(command, moment):
        if moment.state.state == "running" and not command.stopped:
            command.stop("interrupted")

    ended = work(bench, spec, look=stop)
    assert (ended.state, ended.reason) == ("cancelled", "interrupted")
    assert bench.workspace.run("run").checkpoint("resume").exists()
    (tmp_path / "go").touch()
    assert work(bench, spec) is None
    assert bench.said("run") == ["assigned", "retried", "assigned"]
    assert bench.workspace.run("run").state().attempt == 2


def test_a_second_stop_ends_a_deaf_run_at_once(bench, tmp_path):
    def stop(command, moment):
        if moment.state.state in ("running", "stopping") and not command._killed:
            command.stop("interrupted")

    ended = work(bench, make(bench, "run", f"ignore {tmp_path / 'never'}"), look=stop)
    assert ended.state == "cancelled"
    assert "SIGKILL" in ended.reason


def test_a_worker_that_dies_loses_the_run_and_the_next_command_retries_it(bench):
    spec = make(bench, "run", "die_once")
    ended = work(bench, spec)
    assert ended.state == "lost"
    assert "SIGKILL" in ended.reason
    assert "the last words" in ended.reason
    assert work(bench, spec) is None
    assert bench.state("run") == "done"


def test_a_killed_command_takes_its_run_along_properly(bench, tmp_path):
    make(bench, "run", f"wait {tmp_path / 'never'}")
    command = subprocess.Popen((*COMMAND, str(bench.workspace.root), "run"))
    bench.until(lambda: bench.state("run") == "running")
    assert list_claimed(bench.workspace) == {"run"}
    command.kill()
    command.wait()
    bench.until(lambda: bench.state("run") == "cancelled")
    assert bench.reason("run") == "the command that ran it ended"
    assert bench.workspace.run("run").checkpoint("resume").exists()
    bench.until(lambda: not list_claimed(bench.workspace))


def test_a_run_whose_command_and_worker_were_killed_is_lost_to_whoever_looks_next(bench, tmp_path):
    make(bench, "run", f"wait {tmp_path / 'never'}")
    command = subprocess.Popen((*COMMAND, str(bench.workspace.root), "run"))
    bench.until(lambda: bench.state("run") == "running")
    command.kill()
    os.kill(bench.workspace.run("run").state().pid, signal.SIGKILL)
    command.wait()
    bench.until(lambda: not list_claimed(bench.workspace))
    settle_abandoned(bench.workspace)
    assert bench.state("run") == "lost"
    assert "odyssey retry" in bench.workspace.run("run").state().hint
    assert not list((bench.workspace.queue / "claims").iterdir())


def test_the_scheduler_leaves_a_claimed_run_alone_until_it_is_released(bench):
    spec = make(bench, "run", "finish")
    claim = take_claim(bench.workspace, "run")
    write_ticket(bench.workspace, Ticket("run", 0.0, 1.0))
    dispatcher = bench.dispatcher()
    for _ in range(3):
        dispatcher.tick()
    assert bench.said(spec.run_id) == []
    assert not dispatcher.tick()
    claim.release()
    bench.until(lambda: bench.state("run") == "done", dispatcher)


def test_a_claimed_run_is_not_retried_by_the_queue_and_a_cancellation_reaches_its_command(bench):
    assert work(bench, make(bench, "run", "fail")).state == "failed"
    claim = take_claim(bench.workspace, "run")
    dispatcher = bench.dispatcher()
    retry(bench.workspace, ["run"])
    cancel(bench.workspace, ["run"])
    dispatcher.tick()
    assert bench.said("run") == ["assigned"]
    assert claim.stop_asked()
    claim.release()


def test_what_waits_in_the_queue_for_a_claimed_run_starts_after_it(bench, tmp_path):
    spec = make(bench, "first", "fail")
    work(bench, spec)
    bench.queue("second", "finish", "first")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state("second") == "held", dispatcher)
    claim = take_claim(bench.workspace, "first")
    dispatcher.tick()
    path = bench.workspace.run("first").attempt(1).events
    path.write_text(path.read_text().replace('"failed"', '"done"'))
    claim.release()
    bench.until(lambda: bench.state("second") == "done", dispatcher)


def test_runs_of_the_queue_are_followed_not_executed(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ensure_running", lambda workspace: False)
    spec = make(bench, "run", f"wait {tmp_path / 'go'}")
    write_ticket(bench.workspace, Ticket("run", 0.0, 1.0))
    dispatcher, over = bench.dispatcher(), threading.Event()

    def schedule():
        while not over.wait(0.01):
            dispatcher.tick()

    scheduler = threading.Thread(target=schedule)
    scheduler.start()
    try:
        bench.until(lambda: bench.state("run") == "running")
        seen = []

        def look(command, moment):
            seen.append((command.elsewhere, moment.state.state))
            (tmp_path / "go").touch()

        assert work(bench, spec, look=look) is None
    finally:
        over.set()
        scheduler.join()
    assert seen[0] == ({"run": "the queue has it (running)"}, "running")
    assert bench.said("run").count("assigned") == 1


def test_two_commands_do_not_share_a_run(bench):
    spec = make(bench, "run", "finish")
    claim = take_claim(bench.workspace, "run")
    with Foreground(bench.workspace, [spec], command=WORKER) as command:
        assert command.elsewhere == {"run": "another command runs it"}
    claim.release()


def test_a_read_only_workspace_is_refused(bench, monkeypatch):
    from store.errors import WorkspaceError

    spec = make(bench, "run", "finish")
    monkeypatch.setattr(
        "pathlib.Path.touch", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(WorkspaceError, match="Permission denied"), Foreground(bench.workspace, [spec]):
        pytest.fail("it was entered")
