"""What a real cluster does not do on demand: outages, rare states, forgotten jobs. Slurm's programs are scripts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from engine.launch import requests
from engine.launch.dispatcher import Dispatcher, Timing
from engine.launch.slurm.backend import Patience
from engine.launch.slurm.batches import Batch
from engine.launch.status import pause_reason
from engine.report import Report
from store.workspace import Workspace
from tests.slurm.conftest import Bench

pytestmark = pytest.mark.slow

QUICK = Timing(cluster=Patience(0.0, 0.02, 0.02, 0.05, 0.1, 0.2, 60.0))
PROGRAM = """#!/bin/sh
echo "$@" >> "{path}.calls"
cat "{path}.answer"
cat "{path}.complaint" >&2
exit $(cat "{path}.status")
"""
TIMED_OUT = "slurm_load_jobs error: Socket timed out on send/recv operation"


class Fake:
    """Slurm's programs as files: what each answers, with which status, and how it was called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("sbatch", "squeue", "scontrol", "scancel"):
            script = folder / name
            script.write_text(PROGRAM.format(path=folder / name))
            script.chmod(0o755)
            self.set(name)
        self.set("sbatch", "77\n")
        self.set("scontrol", "MaxArraySize            = 1001\n")

    def set(self, name: str, answer: str = "", complaint: str = "", status: int = 0) -> None:
        """What a program does from now on."""
        for part, text in (("answer", answer), ("complaint", complaint), ("status", str(status))):
            temporary = self._folder / f"{name}.{part}.new"
            temporary.write_text(text)
            temporary.replace(self._folder / f"{name}.{part}")

    def show(self, batch: Batch, *states: str, reason: str = "None", nodes: str = "") -> None:
        """Have squeue list a batch's jobs in these states."""
        rows = (f"77_{place}|{place}|{batch.name}|{state}|{nodes}|{reason}\n" for place, state in enumerate(states))
        self.set("squeue", "".join(rows))

    def calls(self, name: str) -> list[str]:
        path = self._folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return Fake(tmp_path / "bin")


@pytest.fixture
def bench(fake: Fake, tmp_path: Path) -> Bench:
    return Bench(Workspace.create(tmp_path / "workspace"))


def batches(bench: Bench) -> list[Batch]:
    """Those handed in so far, the first first."""
    return [Batch(path) for path in sorted((bench.workspace.root / "slurm").glob("*"), key=lambda p: p.stat().st_mtime)]


def begin(bench: Bench, run_id: str, *events: str, checkpoint: bool = False) -> None:
    """What a job does when it starts."""
    attempt = bench.workspace.run(run_id).new_attempt()
    with Report(attempt) as report:
        report.emit("starting", host="elsewhere", pid=1, device="cpu")
        for event in events:
            report.emit(event)
    if checkpoint:
        bench.workspace.run(run_id).checkpoint("resume").mkdir(parents=True)


def started(bench: Bench, fake: Fake, run_id: str = "run", **begun: bool) -> tuple[Dispatcher, Batch]:
    """A run that runs on the fake cluster."""
    bench.queue(run_id, "finish")
    dispatcher = bench.dispatcher(QUICK)
    dispatcher.tick()
    batch = batches(bench)[-1]
    fake.show(batch, "RUNNING", nodes="n7")
    begin(bench, run_id, **begun)
    bench.until(lambda: bench.said(run_id)[-1] == "assigned", dispatcher)
    return dispatcher, batch


def asked(fake: Fake, name: str, times: int) -> bool:
    return len(fake.calls(name)) >= times


def test_an_outage_of_the_controller_loses_nothing(bench: Bench, fake: Fake) -> None:
    dispatcher, batch = started(bench, fake)
    fake.set("squeue", complaint=TIMED_OUT, status=1)
    before = len(fake.calls("squeue"))
    bench.until(lambda: asked(fake, "squeue", before + 3), dispatcher)
    assert bench.state("run") == "starting"
    assert "Socket timed out" in dispatcher.silence
    fake.show(batch, "RUNNING", nodes="n7")
    bench.until(lambda: not dispatcher.silence, dispatcher)
    assert bench.said("run").count("assigned") == 1


def test_what_could_not_be_handed_in_is_handed_in_later(bench: Bench, fake: Fake) -> None:
    fake.set("scontrol", complaint="Unable to contact slurm controller (connect failure)", status=1)
    bench.queue("run", "finish")
    dispatcher = bench.dispatcher(QUICK)
    bench.until(lambda: asked(fake, "scontrol", 2), dispatcher)
    assert (bench.state("run"), fake.calls("sbatch")) == ("queued", [])
    fake.set("scontrol", "MaxArraySize            = 1001\n")
    bench.until(lambda: "submitted" in bench.reason("run"), dispatcher)


def test_a_job_that_was_taken_without_an_answer_is_found_by_its_batch(bench: Bench, fake: Fake) -> None:
    fake.set("sbatch", complaint="sbatch: error: Batch job submission failed: Socket timed out", status=1)
    bench.queue("run", "finish")
    dispatcher = bench.dispatcher(QUICK)
    dispatcher.tick()
    (batch,) = batches(bench)
    assert batch.number() is None
    fake.show(batch, "PENDING", reason="Priority")
    bench.until(lambda: "Priority" in bench.reason("run"), dispatcher)
    assert batch.number() == "77"
    assert len(fake.calls("sbatch")) == 1


@pytest.mark.parametrize("dies", [False, True], ids=["not taken", "its scheduler died"])
def test_a_job_that_never_arrived_is_handed_in_again(bench: Bench, fake: Fake, dies: bool) -> None:
    fake.set("sbatch", complaint="sbatch: error: Unable to contact slurm controller", status=1)
    bench.queue("run", "finish")
    dispatcher = bench.dispatcher(QUICK)
    dispatcher.tick()
    fake.set("sbatch", "78\n")
    heir = bench.dispatcher(QUICK) if dies else dispatcher
    bench.until(lambda: "78_0" in bench.reason("run"), heir)
    assert len(fake.calls("sbatch")) == 2
    # Should the first arrive after all, it finds that nobody wants it: no run is executed twice at once.
    first, second = batches(bench)
    assert (first.withdrawn(0), second.withdrawn(0)) == (True, False)


@pytest.mark.parametrize(
    ("slurm", "state", "words"),
    [
        ("TIMEOUT", "lost", "reached its time limit"),
        ("DEADLINE", "lost", "before its deadline"),
        ("OUT_OF_MEMORY", "lost", "for want of memory"),
        ("FAILED", "lost", "failed (exit code 3:0)"),
        ("COMPLETED", "lost", "without saying how"),
        ("CANCELLED", "cancelled", "was cancelled"),
        ("PREEMPTED", "queued", "was preempted"),
        ("NODE_FAIL", "queued", "lost its node"),
        ("BOOT_FAIL", "queued", "did not start"),
    ],
)
def test_how_a_job_ends_decides_about_its_run(bench: Bench, fake: Fake, slurm: str, state: str, words: str) -> None:
    dispatcher, batch = started(bench, fake)
    requests.pause(bench.workspace)  # what is queued again would start at once
    fake.set("scontrol", "JobId=77 ExitCode=3:0 DerivedExitCode=0:0\n")
    fake.show(batch, slurm, nodes="n7")
    bench.until(lambda: bench.state("run") == state, dispatcher)
    assert any(words in str(event.get("reason")) for event in bench.events("run"))
    assert ("run" in dispatcher.entries) == (state == "queued")
    assert not dispatcher.on_cluster


def test_a_run_that_was_cut_off_goes_on_from_its_checkpoint_once(bench: Bench, fake: Fake) -> None:
    dispatcher, batch = started(bench, fake, checkpoint=True)
    fake.set("sbatch", "78\n")
    fake.show(batch, "TIMEOUT")
    bench.until(lambda: "78_0" in bench.reason("run"), dispatcher)
    assert bench.said("run")[-4:-1] == ["lost", "retried", "submitted"]
    begin(bench, "run")
    fake.show(batches(bench)[-1], "TIMEOUT")
    bench.until(lambda: bench.state("run") == "lost" and not dispatcher.entries, dispatcher)


def test_a_word_unknown_concludes_nothing(bench: Bench, fake: Fake) -> None:
    dispatcher, batch = started(bench, fake)
    fake.show(batch, "UPDATE_DB", nodes="n7")
    before = len(fake.calls("squeue"))
    bench.until(lambda: asked(fake, "squeue", before + 5), dispatcher)
    assert bench.state("run") == "starting"


def test_a_forgotten_job_is_judged_by_its_journal(bench: Bench, fake: Fake) -> None:
    dispatcher, _ = started(bench, fake)
    fake.set("squeue", "")
    run = bench.workspace.run("run")
    with Report(run.attempt(1), heartbeat_s=0.02):
        before = len(fake.calls("squeue"))
        bench.until(lambda: asked(fake, "squeue", before + 20), dispatcher)
        assert bench.state("run") == "starting"
    bench.until(lambda: bench.state("run") == "lost", dispatcher)
    assert "does not know its job any more (77_0)" in bench.reason("run")


def test_jobs_that_end_before_they_begin_pause_the_queue_and_hold_what_waits(bench: Bench, fake: Fake) -> None:
    runs = [bench.queue(f"run{number}", "finish") for number in range(3)]
    dispatcher = bench.dispatcher(QUICK)
    dispatcher.tick()
    (batch,) = batches(bench)
    assert "--array=0-2" in fake.calls("sbatch")[0]
    for place in range(2):
        batch.output(place).write_text("line 4: module: command not found\n")
    fake.show(batch, "FAILED", "FAILED", "PENDING")
    bench.until(lambda: pause_reason(bench.workspace) is not None, dispatcher)
    assert [bench.state(run_id) for run_id in runs] == ["lost", "lost", "queued"]
    assert "module: command not found" in bench.reason(runs[0])
    bench.until(lambda: "hold 77_2" in fake.calls("scontrol"), dispatcher)
    requests.resume(bench.workspace)
    bench.until(lambda: "release 77_2" in fake.calls("scontrol"), dispatcher)


def test_what_a_person_holds_in_slurm_stays_held(bench: Bench, fake: Fake) -> None:
    bench.queue("run", "finish")
    dispatcher = bench.dispatcher(QUICK)
    dispatcher.tick()
    fake.show(batches(bench)[0], "PENDING", reason="JobHeldUser")
    bench.until(lambda: "JobHeldUser" in bench.reason("run"), dispatcher)
    requests.resume(bench.workspace)
    before = len(fake.calls("squeue"))
    bench.until(lambda: asked(fake, "squeue", before + 3), dispatcher)
    assert not [call for call in fake.calls("scontrol") if "release" in call]


def test_a_cancellation_outlives_an_outage_and_its_scheduler(bench: Bench, fake: Fake) -> None:
    dispatcher, batch = started(bench, fake)
    fake.set("scancel", complaint="scancel: error: Unable to contact slurm controller", status=1)
    requests.cancel(bench.workspace, ["run"])
    bench.until(lambda: asked(fake, "scancel", 2), dispatcher)
    assert bench.state("run") == "starting"
    heir = bench.dispatcher(QUICK)
    fake.set("scancel")
    before = len(fake.calls("scancel"))
    bench.until(lambda: asked(fake, "scancel", before + 1), heir)
    fake.show(batch, "CANCELLED")
    bench.until(lambda: bench.state("run") == "cancelled", heir)


def test_arrays_are_no_larger_than_slurm_takes(bench: Bench, fake: Fake) -> None:
    fake.set("scontrol", "MaxArraySize            = 2\n")
    for number in range(3):
        bench.queue(f"run{number}", "finish")
    bench.dispatcher(QUICK).tick()
    assert [("--array=0-1" in call, "--array=0 " in call) for call in fake.calls("sbatch")] == [
        (True, False),
        (False, True),
    ]


def test_runs_that_want_different_things_are_different_jobs(bench: Bench, fake: Fake) -> None:
    bench.queue("small", "finish", slurm={"partition": "short", "time": "30"})
    bench.queue("large", "finish", gpus=4, nodes=2, cpu_threads=6, slurm={"memory": "64G", "at_once": 2})
    bench.dispatcher(QUICK).tick()
    large, small = sorted(fake.calls("sbatch"), key=lambda call: "short" in call)
    assert all(option in small for option in ("--partition=short", "--time=30", "--signal=B:USR1@120", "--nodes=1"))
    assert all(option in large for option in ("--nodes=2", "--gres=gpu:4", "--cpus-per-task=24", "--mem=64G"))
    assert "--gres" not in small


def test_without_slurm_here_runs_are_held_and_tried_again(bench: Bench, fake: Fake, monkeypatch) -> None:
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", "/nowhere")
    bench.queue("run", "finish")
    dispatcher = bench.dispatcher(QUICK)
    bench.until(lambda: bench.state("run") == "held", dispatcher)
    assert "no scontrol on its PATH" in bench.reason("run")
    monkeypatch.setenv("PATH", path)
    assert shutil.which("sbatch")
    requests.resume(bench.workspace)
    bench.until(lambda: "submitted" in bench.reason("run"), dispatcher)
