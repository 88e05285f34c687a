"""A real Slurm where one was started (tests/support/slurm_cluster.sh), and runs whose jobs are scripted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.launch.dispatcher import Dispatcher, Timing
from engine.launch.mailbox import Slot
from engine.launch.tickets import Ticket, write_ticket
from engine.spec.run import Corpus, PrepareJob, Resources, RunSpec, Tokenizer
from store.run_dir import create_run
from store.workspace import Workspace
from tests.support.scripting import ScriptedQueue

CLUSTER = "ODYSSEY_TEST_SLURM"
TASK = (sys.executable, "-P", str(Path(__file__).with_name("scripted_task.py")))


@pytest.fixture(scope="session")
def cluster() -> Path:
    """The folder of a running cluster; a test without one is skipped with the way to get it."""
    folder = os.environ.get(CLUSTER)
    if not folder:
        pytest.skip(f"no Slurm: tests/support/slurm_cluster.sh start /FOLDER, then {CLUSTER}=/FOLDER")
    return Path(folder)


@pytest.fixture
def on_cluster(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of this test talk to the cluster."""
    monkeypatch.setenv("SLURM_CONF", str(cluster / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return cluster


class Bench(ScriptedQueue):
    """Queue scripted runs for Slurm, turn dispatchers over until something is so."""

    LOGS = "slurm/*/*.log"
    PAUSE_S = 0.05

    def queue(self, run_id: str, script: str, *needs: str, **resources: object) -> str:
        job = PrepareJob(corpora=(Corpus(name="script", source=script),), tokenizer=Tokenizer(model="none"))
        wanted = Resources.model_validate({"backend": "slurm", **resources})
        spec = RunSpec(run_id=run_id, name=run_id, experiment="test", needs=needs, resources=wanted, job=job)
        create_run(self.workspace, spec.model_dump(mode="json"))
        write_ticket(self.workspace, Ticket(run_id, 0.0, 1.0))
        return run_id

    def dispatcher(self, timing: Timing | None = None) -> Dispatcher:
        return Dispatcher(self.workspace, [Slot("cpu0", None, 1)], timing=timing or Timing())

    def job(self, run_id: str) -> str:
        """``1234_5``: the job that has the run, according to its newest attempt."""
        events = self.events(run_id, self.attempt(run_id))
        return next(event["slurm"]["job"] for event in events if event["event"] == "starting")


@pytest.fixture
def bench(on_cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench whose jobs are gone afterwards."""
    monkeypatch.setattr("engine.launch.slurm.script.TASK", TASK)
    made = Bench(Workspace.create(tmp_path / "workspace"))
    yield made
    end_jobs(made.workspace)


def end_jobs(workspace: Workspace) -> None:
    """Nothing of a workspace is left in the cluster."""
    from engine.launch.slurm.batches import job_name

    subprocess.run(("scancel", "--quiet", f"--name={job_name(workspace)}"), check=False, timeout=30)


def squeue(*arguments: str) -> list[str]:
    """Lines of squeue."""
    command = ("squeue", "--noheader", "--array", *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()


def tell(*command: str) -> None:
    """Run one of Slurm's programs; it must not complain."""
    assert shutil.which(command[0])
    subprocess.run(command, check=True, timeout=30)
