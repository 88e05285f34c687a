"""A workspace with scripted runs, and waiting for files instead of sleeping."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.launch.dispatcher import Dispatcher, Timing
from engine.launch.mailbox import Slot
from engine.launch.status import pause_reason
from engine.launch.tickets import Ticket, write_ticket
from engine.spec.run import Corpus, PrepareJob, Resources, RunSpec, Tokenizer
from store.run_dir import create_run
from store.workspace import Workspace
from tests.support.scripting import ScriptedQueue

COMMAND = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))


class Bench(ScriptedQueue):
    """Queue scripted runs, turn a dispatcher over until something is so."""

    def queue(
        self,
        run_id: str,
        script: str,
        *needs: str,
        threads: int = 1,
        priority: float = 0.0,
        experiment: str = "test",
        **wanted: int,
    ) -> str:
        job = PrepareJob(corpora=(Corpus(name="script", source=script),), tokenizer=Tokenizer(model="none"))
        resources = Resources(cpu_threads=threads, **wanted)
        spec = RunSpec(run_id=run_id, name=run_id, experiment=experiment, needs=needs, resources=resources, job=job)
        create_run(self.workspace, spec.model_dump(mode="json"))
        write_ticket(self.workspace, Ticket(run_id, priority, 1.0))
        return run_id

    def dispatcher(self, slots: int = 1, **timing: float) -> Dispatcher:
        named = [Slot(f"cpu{index}", None, 1) for index in range(slots)]
        return Dispatcher(self.workspace, named, command=COMMAND, timing=Timing(**timing))

    def pause_reason(self) -> str | None:
        """Why the queue is paused, as its file says."""
        return pause_reason(self.workspace)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench whose processes are gone afterwards."""
    workspace = Workspace.create(tmp_path / "workspace")
    yield Bench(workspace)
    for process in psutil.process_iter(["cmdline"]):
        if str(workspace.root) in (process.info["cmdline"] or []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def start_scheduler(bench: Bench) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start schedulers with scripted workers in the environment of the test; all are gone afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(idle_exit_s: float = 60.0, **environment: str) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("scripted_scheduler.py")
        command = (sys.executable, str(script), str(bench.workspace.root), str(idle_exit_s))
        started.append(subprocess.Popen(command, env={**os.environ, **environment}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
