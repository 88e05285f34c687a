"""Putting runs into the queue. What exists is left alone; what failed, was cancelled or got lost is retried."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from engine.code import read_code
from engine.launch.experiments import record_launch
from engine.launch.requests import raise_level, retry
from engine.launch.requests import reallot as ask_to_reallot
from engine.launch.tickets import Ticket, has_ticket, ticketed, write_ticket
from engine.plan.plan import Plan
from engine.spec.run import Resources, RunSpec
from store.errors import DataError
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


def submit(workspace: Workspace, plan: Plan, level: float | None = None) -> Submitted:
    """Record the launch of an experiment and put its runs into the queue; ``level`` is the priority asked for."""
    workspace.require_writable()
    record_launch(workspace, plan)
    return enqueue(workspace, plan.runs, plan.priorities(), level)


def enqueue(
    workspace: Workspace, specs: Sequence[RunSpec], priorities: Mapping[str, float], level: float | None = None
) -> Submitted:
    """Create the runs that do not exist and queue all that are unfinished; ``ensure_running`` then starts them.

    Runs that wait already take the resources, and the ``level`` if there is one, that are asked for now. Interrupted
    half-way, it completes when called again.
    """
    submitted = preview(workspace, specs)
    enqueued, retried, waiting = time.time(), set(submitted.retried), ticketed(workspace)
    code = read_code().record()
    for spec in specs:
        run = create_run(workspace, spec.model_dump(mode="json"))
        if spec.run_id in retried:
            reallot(run, spec)
        unfinished = spec.run_id not in retried and not run.state().finished
        if unfinished and not has_ticket(workspace, spec.run_id):
            ticket = Ticket(spec.run_id, priorities[spec.run_id], enqueued, level or 0.0, code=code)
            write_ticket(workspace, ticket)
    if retried:
        retry(workspace, submitted.retried, level=level)
    _change_waiting(workspace, [spec for spec in specs if spec.run_id in waiting - retried], level)
    return submitted


def _change_waiting(workspace: Workspace, specs: Sequence[RunSpec], level: float | None) -> None:
    """Runs that wait may be given out at any moment: what they take is changed by the scheduler, if it still can."""
    if specs and level is not None:
        raise_level(workspace, [spec.run_id for spec in specs], level)
    changed: dict[str, list[RunSpec]] = {}
    for spec in specs:
        if _resources(workspace.run(spec.run_id)) not in (None, spec.resources):
            changed.setdefault(spec.resources.model_dump_json(), []).append(spec)
    for group in changed.values():
        run_ids = [spec.run_id for spec in group]
        ask_to_reallot(workspace, run_ids, group[0].resources.model_dump(mode="json"))


def _resources(run: RunDir) -> Resources | None:
    """What a run takes; None where its specification is damaged, which the scheduler says."""
    try:
        return Resources.model_validate(run.spec().get("resources") or {})
    except (DataError, ValidationError, AttributeError):
        return None


def reallot(run: RunDir, spec: RunSpec) -> None:
    """Give a run that nobody executes the resources asked for now: they are no part of what it is."""
    wanted = spec.resources.model_dump(mode="json")
    written = run.spec()
    if written.get("resources") != wanted:
        write_json(run.spec_path, {**written, "resources": wanted})
