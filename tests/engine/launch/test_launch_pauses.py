"""What dies or fails at once pauses its experiment, or the queue, instead of burning it; with real worker processes."""

from __future__ import annotations

import pytest

from engine.launch import requests
from engine.launch.pauses import Pauses, read_paused_experiments
from store.files import write_json


def paused(bench) -> set[str]:
    return set(read_paused_experiments(bench.workspace))


def test_deaths_of_one_experiment_pause_it_alone(bench):
    for name in ("a", "b", "c"):
        bench.queue(name, "die", priority=1)
    other = bench.queue("z-other", "finish", experiment="other")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(other) == "done" and other not in dispatcher.entries, dispatcher)
    assert [bench.state(name) for name in ("a", "b", "c")] == ["lost", "lost", "queued"]
    assert not dispatcher.paused
    assert not dispatcher.busy
    (pause,) = read_paused_experiments(bench.workspace).values()
    assert pause.reason.startswith("2 workers died within seconds of starting its runs; the last: ")
    assert "SIGKILL" in pause.reason
    assert "the last words" in pause.reason
    # A scheduler that comes later keeps the pause; resuming ends it.
    later = bench.dispatcher()
    later.tick()
    assert not later.busy
    requests.resume(bench.workspace, ["test"])
    bench.until(lambda: bench.state("c") == "lost", later)
    assert paused(bench) == set()


def test_deaths_across_experiments_pause_the_queue(bench):
    bench.queue("a", "die", priority=2)
    bench.queue("b", "die", experiment="other", priority=1)
    bench.queue("c", "finish", experiment="third")
    dispatcher = bench.dispatcher()
    bench.until(lambda: dispatcher.paused, dispatcher)
    assert bench.state("c") == "queued"
    assert paused(bench) == set()
    reason = bench.pause_reason()
    assert reason.startswith("2 workers died within seconds of starting runs of other and test; the last: ")
    requests.resume(bench.workspace)
    bench.until(lambda: bench.state("c") == "done", dispatcher)


def test_a_run_that_ends_well_between_deaths_clears_the_machine(bench):
    bench.queue("a", "die", priority=3)
    bench.queue("b", "finish", experiment="other", priority=2)
    bench.queue("c", "die", experiment="third", priority=1)
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state("c") == "lost", dispatcher)
    assert [bench.state(name) for name in ("a", "b")] == ["lost", "done"]
    assert not dispatcher.paused
    assert paused(bench) == set()


def test_a_failure_that_every_run_repeats_pauses_the_experiment(bench):
    for name in "abcde":
        bench.queue(name, "fail", priority=1)
    other = bench.queue("z-other", "finish", experiment="other")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(other) == "done", dispatcher)
    assert [bench.state(name) for name in "abcde"] == ["failed", "failed", "failed", "queued", "queued"]
    (pause,) = read_paused_experiments(bench.workspace).values()
    told = "3 of its runs failed within seconds, for the same reason: no text; in the corpus"
    assert pause.reason == told


def test_failures_for_different_reasons_do_not_add_up(bench):
    for index, script in enumerate(("fail", "crash", "fail", "crash", "fail")):
        bench.queue(f"{index}-run", script)
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state("4-run") == "failed" and not dispatcher.entries, dispatcher)
    assert paused(bench) == set()


def test_late_failures_pause_nothing(bench):
    for name in "abcd":
        bench.queue(name, "fail")
    dispatcher = bench.dispatcher(early_death_s=0.0)
    bench.until(lambda: bench.state("d") == "failed" and not dispatcher.entries, dispatcher)
    assert paused(bench) == set()


def test_a_run_that_another_experiment_wants_too_starts(bench):
    shared, own = bench.queue("a-shared", "finish"), bench.queue("b-own", "finish")
    launched = {"name": "other", "key": "1", "runs": [shared], "launched": 1.0}
    write_json(bench.workspace.experiments / "other-1.json", launched)
    requests.pause(bench.workspace, ["test"])
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(shared) == "done", dispatcher)
    assert bench.state(own) == "queued"
    (bench.workspace.experiments / "other-1.json").unlink()
    bench.workspace.experiments.rmdir()
    dispatcher.tick()
    requests.pause(bench.workspace, ["other"])
    requests.resume(bench.workspace, ["test"])
    bench.until(lambda: bench.state(own) == "done", dispatcher)


@pytest.mark.parametrize(("script", "times"), [("die", 2), ("fail", 3)])
def test_what_is_started_for_another_experiment_counts_for_that(bench, script, times):
    shared = [bench.queue(f"{index}-shared", script) for index in range(times + 1)]
    launched = {"name": "other", "key": "1", "runs": shared, "launched": 1.0}
    write_json(bench.workspace.experiments / "other-1.json", launched)
    requests.pause(bench.workspace, ["test"])
    dispatcher = bench.dispatcher()
    bench.until(lambda: paused(bench) == {"test", "other"}, dispatcher)
    assert not dispatcher.busy
    assert bench.state(shared[-1]) == "queued"
    assert not dispatcher.paused


@pytest.mark.parametrize("content", ["{", "[1]", '{"test": {}}'])
def test_a_damaged_file_of_pauses_pauses_nothing(bench, content):
    (bench.workspace.queue / "paused_experiments.json").write_text(content)
    pauses = Pauses(bench.workspace)
    assert pauses.experiments == {}
    pauses.pause_experiment("test", "asked for")
    assert paused(bench) == {"test"}
