"""Guarded deletion of runs: what would go, what forbids it, and doing it so that a kill half-way can be finished."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import DataError, OdysseyError

if TYPE_CHECKING:
    from store.workspace import Workspace

_WAITING = frozenset({"queued", "held"})


@dataclass(frozen=True)
class Doomed:
    """A run that would go."""

    run_id: str
    state: str
    path: Path
    n_bytes: int
    """Of its directory; 0 where that is gone already."""
    asked: bool
    """False for one that goes along because it rests on another."""


@dataclass(frozen=True)
class DeletionPlan:
    """What a deletion would do. Nothing is deleted while there are refusals."""

    runs: tuple[Doomed, ...]
    rows: Mapping[str, int]
    """Rows of the database that would go, by table; none where results are kept."""
    refusals: tuple[str, ...] = ()
    """Sentences; each names a run and why it cannot go."""
    dependents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Runs outside the plan that need a state or the end of one within, by run."""
    experiments: tuple[Path, ...] = ()
    """Records of launches of which no run would be left."""
    keep_results: bool = False

    @property
    def n_bytes(self) -> int:
        return sum(run.n_bytes for run in self.runs)


def plan_deletion(
    workspace: Workspace, run_ids: Sequence[str], *, with_dependents: bool = False, keep_results: bool = False
) -> DeletionPlan:
    """What deleting these runs would take. ``with_dependents`` takes along what rests on them; nothing is changed.

    ``keep_results`` leaves the rows of the database (evaluations, losses, curves): only the directories go.
    """
    from engine.launch.claims import list_claimed, settle_abandoned
    from store.database import lease
    from store.ingest import ingest
    from store.upkeep.deletion import count_rows_of

    settle_abandoned(workspace)
    ingest(workspace)
    uses = _uses(workspace)
    asked = list(dict.fromkeys(run_ids))
    chosen = list(asked)
    if with_dependents:
        for run_id in chosen:
            chosen += [user for user in uses.get(run_id, ()) if user not in chosen]
    going = set(chosen)
    claimed = list_claimed(workspace)
    runs, refusals = [], []
    for run_id in chosen:
        state = _state_of(workspace, run_id)
        runs.append(Doomed(run_id, state, workspace.run(run_id).path, _bytes_in(workspace, run_id), run_id in asked))
        if reason := _why_live(workspace, run_id, state, claimed):
            refusals.append(reason)
    dependents = {}
    for run_id in chosen:
        users = tuple(user for user in uses.get(run_id, ()) if user not in going)
        if users:
            dependents[run_id] = users
            shown = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
            refusals.append(f"{run_id} is needed by {shown}")
    rows: dict[str, int] = {}
    if not keep_results:
        with lease(workspace) as con:
            rows = count_rows_of(con, chosen)
    launches = _launches_without(workspace, going)
    return DeletionPlan(tuple(runs), rows, tuple(refusals), dependents, launches, keep_results)


def delete_runs(workspace: Workspace, plan: DeletionPlan) -> None:
    """Delete what ``plan`` names. Raises OdysseyError, with nothing changed, when a run has come to life since.

    Killed in between, the directories that were set aside are finished with by the next command that ingests.
    """
    from engine.launch.tickets import remove_ticket
    from store.ingest import ingest
    from store.upkeep.deletion import set_aside

    if plan.refusals:
        raise OdysseyError("; ".join(plan.refusals), "Nothing was deleted.")
    workspace.require_writable()
    with _claimed(workspace, plan):
        for run in plan.runs:
            remove_ticket(workspace, run.run_id)
            set_aside(workspace, run.run_id, plan.keep_results)
        ingest(workspace)
    for record in plan.experiments:
        for file in (record, record.with_suffix(".yaml")):
            file.unlink(missing_ok=True)


def runs_of_experiment(workspace: Workspace, name: str) -> list[str]:
    """All runs of which ``name`` is the experiment that first asked for them. OdysseyError when there are none."""
    from store.database import lease
    from store.ingest import ingest
    from store.names import suggest
    from store.queries.runs import list_experiments

    ingest(workspace)
    with lease(workspace) as con:
        known = list_experiments(con)
    runs = known.get(name)
    if not runs:
        raise OdysseyError(f"no run belongs to an experiment {name!r}", suggest(name, known, "`odyssey runs`"))
    return list(runs)


@contextlib.contextmanager
def _claimed(workspace: Workspace, plan: DeletionPlan) -> Iterator[None]:
    """Hold every run of the plan, so that neither a scheduler nor a command starts one meanwhile."""
    from engine.launch.claims import take_claim

    with contextlib.ExitStack() as held:
        for run in plan.runs:
            claim = take_claim(workspace, run.run_id)
            if claim is None:
                raise OdysseyError(f"{run.run_id} is being executed by a command", "Nothing was deleted.")
            held.callback(claim.release)
        for run in plan.runs:
            state = _state_of(workspace, run.run_id)
            if reason := _why_live(workspace, run.run_id, state, frozenset()):
                raise OdysseyError(reason, "Nothing was deleted.")
        yield


def _why_live(workspace: Workspace, run_id: str, state: str, claimed: frozenset[str]) -> str:
    """Why a run may not be deleted now; empty when it may."""
    from engine.launch.process import Identity
    from engine.launch.requests import list_retrying
    from engine.launch.status import scheduler_alive
    from engine.launch.tickets import has_ticket

    if run_id in claimed:
        return f"{run_id} is being executed by a command: `odyssey cancel {run_id}` first"
    if state in ("starting", "running", "stopping"):
        return f"{run_id} is {state}: `odyssey cancel {run_id}` first"
    if run_id in list_retrying(workspace):
        return f"{run_id} was asked to be retried: `odyssey cancel {run_id}` first"
    if has_ticket(workspace, run_id) and scheduler_alive(workspace):
        return f"{run_id} is {state if state in _WAITING else 'in the queue'}: `odyssey cancel {run_id}` first"
    run = workspace.run(run_id)
    if state == "lost" and run.exists():
        last = run.state()
        if last.pid and last.pid_started and last.boot_id:
            worker = Identity(last.pid, last.pid_started, last.boot_id, last.host or "")
            if worker.alive():
                return f"{run_id} is lost, but its process {last.pid} still runs: end that first"
    return ""


def _state_of(workspace: Workspace, run_id: str) -> str:
    run = workspace.run(run_id)
    if not run.exists():
        return "without directory"
    try:
        return run.state().state
    except DataError:
        return "unreadable"


def _uses(workspace: Workspace) -> dict[str, list[str]]:
    """Who rests on a run: those made of its states, and those that need it and are not done."""

    found: dict[str, list[str]] = {}
    for run_id in workspace.run_ids():
        run = workspace.run(run_id)
        try:
            spec = run.spec()
        except DataError:
            continue  # `odyssey store check` tells of it; it can rest on nothing while nobody can read it
        named = _models_in(spec.get("job")) if isinstance(spec, dict) else set()
        needs = set(spec.get("needs") or ()) if isinstance(spec, dict) else set()
        if needs - named and _state_of(workspace, run_id) != "done":
            named |= needs
        for used in sorted(named):
            found.setdefault(used, []).append(run_id)
    return found


def _models_in(job: Any) -> set[str]:
    parts = job.values() if isinstance(job, dict) else ()
    return {part["run"] for part in parts if isinstance(part, dict) and isinstance(part.get("run"), str)}


def _bytes_in(workspace: Workspace, run_id: str) -> int:
    from store.upkeep.leftovers import bytes_of

    return bytes_of(workspace.run(run_id).path)


def _launches_without(workspace: Workspace, going: set[str]) -> tuple[Path, ...]:
    from engine.launch.experiments import read_launches

    left = {name for name in os.listdir(workspace.runs) if not name.startswith(".")} - going
    return tuple(
        launch.document.with_suffix(".json")
        for launch in read_launches(workspace)
        if going.intersection(launch.runs) and left.isdisjoint(launch.runs)
    )
