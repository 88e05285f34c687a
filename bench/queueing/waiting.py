"""A worker whose ``prepare`` runs wait for a second: ``python -m bench.queueing.waiting WORKSPACE WORKER_ID``."""

from __future__ import annotations

import time

from engine import worker
from engine.report import JobContext
from engine.spec.run import PrepareJob

SECONDS, STEPS = 1.0, 10


def execute(job: PrepareJob, context: JobContext) -> None:
    context.report.running(STEPS, "steps")
    for step in range(STEPS):
        context.report.progress(step + 1)
        time.sleep(SECONDS / STEPS)


if __name__ == "__main__":
    worker.main(jobs={"prepare": "bench.queueing.waiting"})
