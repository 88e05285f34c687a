"""Against a real Slurm of two nodes: scripted runs, handed in and followed by a dispatcher, or by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.launch import requests
from tests.slurm.conftest import Bench, squeue, tell

pytestmark = pytest.mark.slow


def in_slurm(bench: Bench) -> list[str]:
    """States of the jobs of the bench's runs that have not ended."""
    from engine.launch.slurm.batches import job_name

    return [line.split("|")[1] for line in squeue(f"--name={job_name(bench.workspace)}", "--format=%i|%T")]


def test_runs_that_want_the_same_are_one_array_and_needs_are_kept(bench: Bench) -> None:
    first = [bench.queue(f"first{number}", "finish") for number in range(2)]
    last = bench.queue("last", "finish", *first)
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(last) == "done", dispatcher)
    assert {bench.job(run_id).partition("_")[0] for run_id in first} != {bench.job(last).partition("_")[0]}
    assert len({bench.job(run_id).partition("_")[0] for run_id in first}) == 1
    ends = [bench.events(run_id, 1)[-1]["t"] for run_id in first]
    assert bench.events(last, 1)[0]["t"] > max(ends)
    assert "submitted" in bench.said(last)
    bench.until(lambda: not dispatcher.on_cluster, dispatcher)
    assert not dispatcher.entries


def test_what_waits_is_cancelled_at_once_and_what_runs_when_it_has_stopped(bench: Bench, tmp_path: Path) -> None:
    runs = [bench.queue(f"run{number}", f"work {tmp_path / 'never'}", slurm={"at_once": 1}) for number in range(2)]
    dispatcher = bench.dispatcher()
    bench.until(lambda: "running" in map(bench.state, runs), dispatcher)
    running = next(run_id for run_id in runs if bench.state(run_id) == "running")
    waiting = next(run_id for run_id in runs if run_id != running)
    bench.until(lambda: "JobArrayTaskLimit" in bench.reason(waiting), dispatcher)
    requests.cancel(bench.workspace, [waiting])
    bench.until(lambda: bench.state(waiting) == "cancelled", dispatcher)
    assert not bench.workspace.run(waiting).attempts()
    requests.cancel(bench.workspace, [running])
    bench.until(lambda: bench.state(running) == "cancelled", dispatcher)
    assert bench.said(running)[-1] == "cancelled"
    bench.until(lambda: not in_slurm(bench) and not dispatcher.busy, dispatcher)
    assert not dispatcher.entries


def test_a_preempted_run_goes_on_by_itself_while_nobody_looks(bench: Bench, tmp_path: Path) -> None:
    run_id = bench.queue("long", f"work {tmp_path / 'go'}", slurm={"partition": "spot"})
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    job = bench.job(run_id)
    # The whole node for something urgent: what runs there is asked to stop, and waits again.
    tell("sbatch", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null", "--wrap=true")
    bench.until(lambda: bench.attempt(run_id) == 2 and bench.state(run_id) == "running")
    assert bench.job(run_id) == job
    assert [event["from_attempt"] for event in bench.events(run_id, 2) if event["event"] == "resumed"] == [1]
    heir = bench.dispatcher()
    heir.tick()
    assert [entry.run_id for entry in heir.on_cluster] == [run_id]
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", heir)
    bench.until(lambda: not heir.entries, heir)
    assert bench.said(run_id)[-1] == "assigned"


def test_a_run_whose_time_is_over_is_requeued_and_goes_on(bench: Bench, tmp_path: Path) -> None:
    run_id = bench.queue("limited", f"work {tmp_path / 'go'}", slurm={"time": "1"})
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.running_as(run_id, 1), dispatcher)
    job = bench.job(run_id)
    bench.until(lambda: "retried" in bench.said(run_id), dispatcher)
    assert "was requeued" in bench.reason(run_id)
    bench.until(lambda: bench.running_as(run_id, 2), dispatcher)
    assert bench.job(run_id) == job
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)


def test_a_run_that_saves_nothing_in_its_time_fails_with_the_way_out(bench: Bench) -> None:
    run_id = bench.queue("hasty", "forget", slurm={"time": "1"})
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.running_as(run_id, 1), dispatcher)
    # The warning itself, which Slurm would send some seconds later.
    tell("scancel", "--batch", "--signal=USR1", bench.job(run_id))
    bench.until(lambda: bench.state(run_id) == "failed", dispatcher)
    assert "before anything could be saved" in bench.reason(run_id)
    assert "slurm.time" in bench.workspace.run(run_id).state().hint


def test_a_killed_worker_loses_the_run_with_its_last_words(bench: Bench) -> None:
    run_id = bench.queue("dying", "die")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "lost", dispatcher)
    assert "failed (exit code 0:9)" in bench.reason(run_id)
    assert "the last words" in bench.reason(run_id)
    assert not dispatcher.entries


def test_a_run_held_while_it_runs_stops_and_goes_on_when_let_go(bench: Bench, tmp_path: Path) -> None:
    run_id = bench.queue("held", f"work {tmp_path / 'go'}")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.running_as(run_id, 1), dispatcher)
    requests.hold(bench.workspace, [run_id])
    bench.until(lambda: bench.state(run_id) == "queued" and "while it is held" in bench.reason(run_id), dispatcher)
    heir = bench.dispatcher()
    requests.release(bench.workspace, [run_id])
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", heir)
    assert bench.attempt(run_id) == 2


@pytest.mark.parametrize(
    ("slurm", "words"),
    [({"partition": "nosuch"}, "invalid partition"), ({"options": ("--gres=tpu:1",)}, "Invalid generic resource")],
)
def test_what_slurm_refuses_is_held_in_its_own_words(bench: Bench, slurm: dict[str, object], words: str) -> None:
    run_id = bench.queue("refused", "finish", slurm=slurm)
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "held", dispatcher)
    assert words.lower() in bench.reason(run_id).lower()
    assert not bench.workspace.run(run_id).attempts()
