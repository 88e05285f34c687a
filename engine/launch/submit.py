"""Putting runs into the queue. What exists is left alone; what failed, was cancelled or got lost is retried."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.launch.experiments import record_launch
from engine.launch.requests import retry
from engine.launch.tickets import Ticket, has_ticket, write_ticket
from engine.plan.plan import Plan
from engine.spec.run import RunSpec
from store.files import write_json
from store.run_dir import RunDir, create_run
from store.workspace import Workspace

RETRIED = frozenset({"failed", "cancelled", "lost"})


@dataclass(frozen=True)
class Submitted:
    """What became of the runs that were put into the queue, by identifier."""

    new: tuple[str, ...]
    existing: tuple[str, ...]
    """Done or already queued."""
    retried: tuple[str, ...]


def preview(workspace: Workspace, specs: Sequence[RunSpec]) -> Submitted:
    """What ``enqueue`` would do, without doing it."""
    new, existing, retried = [], [], []
    for spec in specs:
        run = workspace.run(spec.run_id)
        if not run.exists():
            new.append(spec.run_id)
        elif run.state().state in RETRIED:
            retried.append(spec.run_id)
        else:
            existing.append(spec.run_id)
    return Submitted(tuple(new), tuple(existing), tuple(retried))


def submit(workspace: Workspace, plan: Plan) -> Submitted:
    """Record the launch of an experiment and put its runs into the queue."""
    workspace.require_writable()
    record_launch(workspace, plan)
    return enqueue(workspace, plan.runs, plan.priorities())


def enqueue(workspace: Workspace, specs: Sequence[RunSpec], priorities: Mapping[str, float]) -> Submitted:
    """Create the runs that do not exist and queue all that are unfinished; ``ensure_running`` then starts them.

    Interrupted half-way, it completes when called again.
    """
    submitted = preview(workspace, specs)
    enqueued, retried = time.time(), set(submitted.retried)
    for spec in specs:
        run = create_run(workspace, spec.model_dump(mode="json"))
        if spec.run_id in retried:
            reallot(run, spec)
        unfinished = spec.run_id not in retried and not run.state().finished
        if unfinished and not has_ticket(workspace, spec.run_id):
            write_ticket(workspace, Ticket(spec.run_id, priorities[spec.run_id], enqueued))
    if retried:
        retry(workspace, submitted.retried)
    return submitted


def reallot(run: RunDir, spec: RunSpec) -> None:
    """Give a run that nobody executes the resources asked for now: they are no part of what it is."""
    wanted = spec.resources.model_dump(mode="json")
    written = run.spec()
    if written.get("resources") != wanted:
        write_json(run.spec_path, {**written, "resources": wanted})
