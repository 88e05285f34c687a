"""What a Slurm job executes in tests: the real task; its ``prepare`` jobs do what their corpus's ``source`` says."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from engine.report import JobContext, StopRequested
from engine.spec.run import PrepareJob

sys.path.insert(0, str(Path(__file__).parent))


def finish(context: JobContext, argument: str) -> None:
    context.report.running(1, "steps")


def work(context: JobContext, argument: str) -> None:
    """Run until a file appears; when asked to stop, leave a checkpoint to go on from."""
    saved = context.run.checkpoint("resume") / "state.pt"
    if saved.exists():
        context.report.emit("resumed", state="trunk", step=1, tokens=1, from_attempt=int(saved.read_text()))
    context.report.running(1, "steps")
    while not Path(argument).exists():
        if context.report.should_stop():
            saved.parent.mkdir(parents=True, exist_ok=True)
            saved.write_text(str(context.report.attempt))
            raise StopRequested
        time.sleep(0.02)


def forget(context: JobContext, argument: str) -> None:
    """Run until asked to stop, and save nothing."""
    context.report.running(1, "steps")
    while not context.report.should_stop():
        time.sleep(0.02)
    raise StopRequested


def die(context: JobContext, argument: str) -> None:
    context.report.running(1, "steps")
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


SCRIPTS = {script.__name__: script for script in (finish, work, forget, die)}


def execute(job: PrepareJob, context: JobContext) -> None:
    name, _, argument = job.corpora[0].source.partition(" ")
    SCRIPTS[name](context, argument)


if __name__ == "__main__":
    from engine.slurm_task import main

    main(jobs={"prepare": "scripted_task"})
