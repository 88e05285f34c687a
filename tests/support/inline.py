"""Runs of a plan executed one after another in this process, as a worker executes them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from engine.report import JobContext, Report
from engine.spec.run import RunSpec
from store.journal import read_events
from store.run_dir import create_run
from store.workspace import Workspace


def execute(workspace: Workspace, specs: Iterable[RunSpec]) -> dict[str, list[dict[str, Any]]]:
    """Execute the runs in the order given; the events of each, by run_id."""
    found = {}
    for spec in specs:
        run = create_run(workspace, spec.model_dump(mode="json"))
        attempt = run.new_attempt()
        with Report(attempt) as report:
            report.emit("starting", host="here", pid=1, device="cpu")
            job = importlib.import_module(f"engine.jobs.{spec.job.kind}")
            job.execute(spec.job, JobContext(workspace, spec, run, report, device="cpu", threads=1))
            report.emit("done", seconds=0.0)
        found[spec.run_id] = read_events(attempt.events)[0]
    return found
