"""Decisions of the scheduler, with real worker processes."""

from __future__ import annotations

import os
import signal

import pytest

from engine.launch import requests
from engine.launch.dispatcher import Dispatcher
from engine.launch.process import Identity
from store.journal import read_events
from store.run_dir import RunDir

MODULES = ("sqlite3", "json", "json")
"""What three runs import; the worker has the last two already."""


def pid_of(run: RunDir) -> int:
    return run.state().pid


def test_runs_one_after_another_in_one_worker(bench):
    first, second = bench.queue("first", "finish"), bench.queue("second", "finish", "first")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(second) == "done", dispatcher)
    bench.until(lambda: not dispatcher.entries, dispatcher)
    assert bench.state(first) == "done"
    assert pid_of(bench.workspace.run(first)) == pid_of(bench.workspace.run(second))
    assert not list((bench.workspace.queue / "tickets").iterdir())


def test_attempt_has_journal_and_console(bench):
    run = bench.workspace.run(bench.queue("only", "finish"))
    bench.until(lambda: bench.state("only") == "done", bench.dispatcher())
    events, _ = read_events(run.attempt(1).events)
    assert [event["event"] for event in events] == ["starting", "running", "progress", "done"]
    assert events[0]["versions"]["python"].startswith("3.")
    assert run.attempt(1).console.read_text() == "said on stdout\nsaid by a native library\n"
    assert bench.said("only") == ["queued", "assigned"]


def test_what_imports_left_is_looked_through_once(bench):
    """Between two runs a worker collects garbage: 0.15 s each time if it walked through all of torch again."""
    names = [bench.queue(f"{index}-run", f"count_frozen {module}") for index, module in enumerate(MODULES)]
    bench.until(lambda: bench.state(names[-1]) == "done", bench.dispatcher())
    first, second, third = (int(bench.workspace.run(name).attempt(1).console.read_text()) for name in names)
    assert first == 0
    assert second > 1000
    assert third == second


def test_a_long_queue_is_walked_once(bench, monkeypatch):
    asked = []
    bench.queue("0-first", "finish", priority=1)
    for index in range(50):
        bench.queue(f"waits-{index:02d}", "finish", "0-first")
    dispatcher = bench.dispatcher(slots=2)
    assigned = Dispatcher.assigned.fget
    monkeypatch.setattr(Dispatcher, "assigned", property(lambda self: asked.append(1) or assigned(self)))
    dispatcher.tick()
    assert bench.said("0-first") == ["queued", "assigned"]
    assert len(asked) < 10


def test_larger_priority_goes_first(bench):
    small, large = bench.queue("a-small", "finish", priority=1), bench.queue("b-large", "finish", priority=2)
    bench.until(lambda: bench.state(small) == "done", bench.dispatcher())
    started = [bench.workspace.run(run_id).state().started for run_id in (large, small)]
    assert started == sorted(started)


def test_failure_holds_dependants_and_names_the_need(bench):
    failing, child = bench.queue("failing", "fail"), bench.queue("child", "finish", "failing")
    grandchild = bench.queue("grandchild", "finish", "child")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(grandchild) == "held", dispatcher)
    state = bench.workspace.run(failing).state()
    assert (state.state, state.reason, state.hint) == ("failed", "no text; in the corpus", "Give it some.")
    assert bench.reason(child) == "needs failing, which is failed"
    assert bench.reason(grandchild) == "needs child, which is held"
    assert not dispatcher.busy


def test_a_bug_fails_the_run_and_keeps_the_worker(bench):
    crashing, after = bench.queue("a-crash", "crash", priority=1), bench.queue("b-after", "finish")
    bench.until(lambda: bench.state(after) == "done", bench.dispatcher())
    assert bench.reason(crashing) == "ValueError: a bug"
    assert "Traceback" in bench.workspace.run(crashing).attempt(1).console.read_text()
    assert pid_of(bench.workspace.run(crashing)) == pid_of(bench.workspace.run(after))


def test_retry_of_a_run_whose_specification_is_damaged_holds_it(bench):
    run_id = bench.queue("run", "fail")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "failed" and not dispatcher.entries, dispatcher)
    bench.workspace.run(run_id).spec_path.write_text("{damaged")
    requests.retry(bench.workspace, [run_id])
    dispatcher.tick()
    assert bench.state(run_id) == "held"
    assert "its specification cannot be read" in bench.reason(run_id)


def test_retry_of_a_held_run_retries_what_holds_it(bench, tmp_path):
    failing, child = bench.queue("failing", "die"), bench.queue("child", "finish", "failing")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(child) == "held", dispatcher)
    bench.workspace.run(failing).checkpoint("resume").mkdir(parents=True)
    spec = bench.workspace.run(failing).spec_path
    spec.write_text(spec.read_text().replace('"die"', '"die_once"'))
    requests.retry(bench.workspace, [child])
    bench.until(lambda: bench.state(child) == "done", dispatcher)
    assert bench.workspace.run(failing).state().attempt == 2


def test_cancel_of_a_queued_run_is_immediate(bench, tmp_path):
    running, queued = bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1), bench.queue("b-run", "finish")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(running) == "running", dispatcher)
    requests.cancel(bench.workspace, [queued])
    dispatcher.tick()
    assert bench.state(queued) == "cancelled"
    assert queued not in dispatcher.entries


def test_cancel_of_a_running_run_lets_it_save(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'never'}")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    requests.cancel(bench.workspace, [run_id])
    bench.until(lambda: not dispatcher.entries, dispatcher)
    run = bench.workspace.run(run_id)
    assert (run.state().state, run.state().reason) == ("cancelled", "cancelled on request")
    assert run.checkpoint("resume").is_dir()
    events = [event["event"] for event in read_events(run.attempt(1).events)[0]]
    assert events[-2:] == ["stopping", "cancelled"]


def test_cancel_of_a_deaf_run_kills_its_worker(bench, tmp_path):
    run_id, after = bench.queue("a-deaf", f"ignore {tmp_path / 'never'}", priority=1), bench.queue("b-after", "finish")
    dispatcher = bench.dispatcher(stop_grace_s=0.2)
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    requests.cancel(bench.workspace, [run_id])
    bench.until(lambda: bench.state(after) == "done", dispatcher)
    assert bench.state(run_id) == "cancelled"
    assert "SIGKILL" in bench.reason(run_id)


def test_killed_worker_with_a_checkpoint_is_retried_once(bench):
    run_id = bench.queue("only", "die_once")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)
    assert bench.said(run_id) == ["queued", "assigned", "lost", "retried", "assigned"]
    assert bench.workspace.run(run_id).state().attempt == 2


def test_second_loss_is_final(bench):
    run_id = bench.queue("only", "die")
    bench.workspace.run(run_id).checkpoint("resume").mkdir(parents=True)
    dispatcher = bench.dispatcher(early_death_s=0.0)
    bench.until(lambda: not dispatcher.entries and bench.state(run_id) == "lost", dispatcher)
    assert bench.said(run_id) == ["queued", "assigned", "lost", "retried", "assigned", "lost"]
    assert "SIGKILL" in bench.reason(run_id)
    assert "the last words" in bench.reason(run_id)


def test_a_worker_that_cannot_start_pauses_the_queue(bench):
    bench.queue("only", "finish")
    dispatcher = bench.dispatcher()
    dispatcher.pool._command = ("/bin/false",)
    bench.until(lambda: dispatcher.paused, dispatcher)
    assert bench.state("only") == "queued"


def test_terminated_worker_leaves_its_run_to_the_next(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'go'}")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    for attempt in (2, 3):
        os.kill(pid_of(bench.workspace.run(run_id)), signal.SIGTERM)
        # However often it is told to: the run is not to blame.
        bench.until(lambda: bench.running_as(run_id, attempt), dispatcher)  # noqa: B023 - awaited at once
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)
    assert "lost" not in bench.said(run_id)


def test_pause_starts_nothing_and_resume_goes_on(bench):
    requests.pause(bench.workspace)
    run_id = bench.queue("only", "finish")
    dispatcher = bench.dispatcher()
    for _ in range(3):
        dispatcher.tick()
    assert (bench.state(run_id), dispatcher.busy) == ("queued", False)
    requests.resume(bench.workspace)
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)


def test_a_new_dispatcher_adopts_live_workers(bench, tmp_path):
    running, after = bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1), bench.queue("b-after", "finish")
    first = bench.dispatcher()
    bench.until(lambda: bench.state(running) == "running", first)
    second = bench.dispatcher()
    second.tick()
    assert [entry.run_id for entry in second.assigned] == [running]
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(after) == "done", second)
    states = [bench.workspace.run(run_id).state() for run_id in (running, after)]
    assert [state.attempt for state in states] == [1, 1]
    assert states[0].pid == states[1].pid


def test_a_new_dispatcher_finds_what_died_meanwhile(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'go'}")
    first = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", first)
    worker = Identity.of(pid_of(bench.workspace.run(run_id)))
    os.kill(worker.pid, signal.SIGKILL)
    bench.until(lambda: not worker.alive())
    (tmp_path / "go").touch()
    second = bench.dispatcher(early_death_s=0.0)
    bench.until(lambda: bench.state(run_id) == "done", second)
    assert bench.said(run_id) == ["queued", "assigned", "lost", "retried", "assigned"]


def test_threads_bound_what_runs_at_once(bench, tmp_path):
    wide = bench.queue("a-wide", f"wait {tmp_path / 'go'}", threads=2, priority=1)
    narrow = bench.queue("b-narrow", "finish")
    dispatcher = bench.dispatcher(slots=2)
    bench.until(lambda: bench.state(wide) == "running", dispatcher)
    dispatcher.tick()
    assert bench.state(narrow) == "queued"
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(narrow) == "done", dispatcher)


@pytest.mark.parametrize("text", ["{", '{"action": "cancel"}'])
def test_a_broken_request_is_set_aside(bench, text):
    broken = bench.workspace.queue / "requests" / "0-broken.json"
    broken.write_text(text)
    run_id = bench.queue("only", "finish")
    bench.until(lambda: bench.state(run_id) == "done", bench.dispatcher())
    assert not broken.exists()
    assert broken.with_name("0-broken.json.rejected").exists()
