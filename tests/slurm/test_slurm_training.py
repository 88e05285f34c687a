"""Real training on a real Slurm, by the command line: a sweep that is disturbed, and a run on two nodes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.launch.queue_state import queue_state
from engine.launch.scheduler import ensure_running
from engine.plan.plan import Plan
from odyssey_tui.cli.main import run
from store.database import lease
from store.ingest import ingest
from store.journal import read_events
from store.workspace import Workspace
from tests.slurm.conftest import Bench, end_jobs, tell
from tests.support.inline import execute
from tests.support.queue import wait_for_all
from tests.support.tiny import write_experiment

pytestmark = pytest.mark.slow

DEADLINE_S = 150.0
Losses = dict[tuple[str, str, int], float]


@pytest.fixture
def folder(on_cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where an experiment is written and launched; its scheduler and its jobs are gone afterwards."""
    monkeypatch.setenv("ODYSSEY_SLOTS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield tmp_path
    workspace = Workspace.open(tmp_path / "workspace")
    if (pid := queue_state(workspace).scheduler_pid) is not None:
        os.kill(pid, signal.SIGTERM)
    end_jobs(workspace)


def plan(config: Path) -> Plan:
    from engine.plan.expand import expand
    from engine.spec.load import load_experiment

    return expand(load_experiment(config))


def read_losses(workspace: Workspace, run_id: str) -> Losses:
    """Training losses by branch and step, those of a later attempt instead of those it repeats; sums of evaluations."""
    found: Losses = {}
    for attempt in workspace.run(run_id).attempts():
        for event in read_events(attempt.events)[0]:
            if event["event"] == "metric" and "loss" in event["values"]:
                found["train", event["branch"], event["step"]] = event["values"]["loss"]
            if event["event"] == "evaluation":
                found["evaluate", event["evaluation_id"], 0] = event["sum_loss"]
    return found


@pytest.mark.slow
def test_a_sweep_whose_job_is_requeued_and_whose_scheduler_is_killed_gives_the_same_losses(folder: Path) -> None:
    config = write_experiment(folder)
    text = config.read_text().replace("ptpp: [2]", "ptpp: [12]").replace("replay_ratio: 0,", "replay_ratio: [0, 0.5],")
    config.write_text(f"{text}resources: {{backend: slurm}}\n")
    assert run(["launch", str(config), "-w", str(folder / "workspace")]) == 0
    workspace = Workspace.open(folder / "workspace")
    bench = Bench(workspace)
    specs = plan(config).runs
    trained = next(spec.run_id for spec in specs if spec.job.kind == "pretrain")
    cells = [spec.run_id for spec in specs if spec.job.kind == "adapt"]

    bench.until(lambda: len(read_losses(workspace, trained)) > 20)
    job = bench.job(trained)
    os.kill(queue_state(workspace).scheduler_pid, signal.SIGKILL)
    tell("scontrol", "requeue", job)
    bench.until(lambda: bench.running_as(trained, 2))
    assert bench.job(trained) == job
    assert ensure_running(workspace)
    wait_for_all(workspace, DEADLINE_S)

    assert any(event["event"] == "resumed" for event in bench.events(trained, 2))
    assert len({bench.job(run_id).partition("_")[0] for run_id in cells}) == 1
    for spec in specs:
        started = bench.events(spec.run_id, 1)[0]["t"]
        assert all(workspace.run(need).state().ended < started for need in spec.needs)
    undisturbed = Workspace.create(folder / "undisturbed")
    execute(undisturbed, specs)
    for spec in specs:
        assert read_losses(workspace, spec.run_id) == read_losses(undisturbed, spec.run_id)
    ingest(workspace)
    with lease(workspace) as con:
        rows = con.execute("SELECT run_id, state FROM runs").fetchall()
    assert sorted(rows) == sorted((spec.run_id, "done") for spec in specs)


@pytest.mark.slow
def test_one_run_is_trained_on_two_nodes(folder: Path) -> None:
    config = write_experiment(folder)
    text = config.read_text()
    adapt = text[text.index("adapt:") : text.index("evaluate:")]
    config.write_text(f"{text.replace(adapt, '')}resources: {{backend: slurm, nodes: 2}}\n")
    assert run(["launch", str(config), "-w", str(folder / "workspace")]) == 0
    workspace = Workspace.open(folder / "workspace")
    wait_for_all(workspace, DEADLINE_S)
    specs = plan(config).runs
    trained = next(spec.run_id for spec in specs if spec.job.kind == "pretrain")
    begun = next(event for event in Bench(workspace).events(trained, 1) if event["event"] == "starting")
    assert (begun["processes"], begun["slurm"]["nodes"]) == (2, "n[1-2]")
    alone = Workspace.create(folder / "alone")
    execute(alone, specs)
    together, single = read_losses(workspace, trained), read_losses(alone, trained)
    assert together.keys() == single.keys()
    assert list(together.values()) == pytest.approx(list(single.values()), rel=1e-4)


def test_the_script_that_was_handed_in_can_be_read(on_cluster: Path, bench: Bench) -> None:
    run_id = bench.queue("read", "finish", slurm={"setup": ("echo set up",)})
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)
    batch = next((bench.workspace.root / "slurm").iterdir())
    script = (batch / "job.sh").read_text()
    assert "--array=0" in script
    assert "export MALLOC_TOP_PAD_" in script
    assert (batch / "0.log").read_text() == "set up\n"
    assert subprocess.run(("bash", "-n", str(batch / "job.sh")), check=False).returncode == 0
