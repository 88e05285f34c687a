"""Measuring a drift: the run of an adapted state, put into the queue; or two models compared in a process at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.asking import Hear, ask
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from engine.spec.drifting import Drifting
    from engine.spec.run import RunSpec
    from odyssey_tui.services.tokens import StoredPair
    from store.workspace import Workspace

RETRIED = frozenset({"failed", "cancelled", "lost"})


@dataclass(frozen=True)
class DriftRun:
    """A drift run and how it is: ``state`` is new before anybody asked for it."""

    spec: RunSpec
    state: str
    reason: str = ""
    adapted: bool = True
    """Whether the adaptation is done, whose state is compared."""


def choose_drift(workspace: Workspace, wanted: str, *, on: str = "target", max_tokens: int | None = None) -> DriftRun:
    """The drift of ``RUN[@STATE]`` (RUN as elsewhere, its last state by default) from its base on a set that it scores.

    Nothing is written. OdysseyError where there is no such run, state or set, or its weights are not there.
    """
    from engine.plan.drift import KEEP_HINT, make_drift_run
    from store.database import lease
    from store.ingest import ingest
    from store.queries.runs import resolve_run

    name, _, state = wanted.partition("@")
    ingest(workspace)
    with lease(workspace) as con:
        run_id = resolve_run(con, name)
    adaptation = _read_spec(workspace, run_id)
    if adaptation.job.kind == "drift":
        return _look(workspace, adaptation)
    spec = make_drift_run(adaptation, state=state or None, on=on, max_tokens=max_tokens)
    known = _look(workspace, spec)
    if known.state == "done":
        return known
    adapted = workspace.run(run_id).state()
    if adapted.state in RETRIED:
        raise DataError(
            f"run {run_id} is {adapted.state}: {adapted.reason or 'it has no last state'}",
            f"`odyssey retry {run_id}` first.",
        )
    folder = workspace.run(run_id).checkpoint(spec.job.after.state)
    if adapted.state == "done" and not folder.is_dir():
        raise DataError(f"the weights of {spec.job.after.model_id} are gone: there is no {folder}", KEEP_HINT)
    return DriftRun(spec, known.state, known.reason, adapted.state == "done")


def choose_of_pair(source: StoredPair) -> DriftRun:
    """The drift behind a token ledger: of an adapted state and its own base; errors as of ``choose_drift``."""
    pair, name = source.pair, source.report.name
    if pair.after.zero_shot_evaluation_id != pair.before.evaluation_id:
        raise ConfigError(
            f"{name.before} is not the base that {name.after} was adapted from",
            "A drift is that of an adapted state from its own base: p chooses another pair.",
        )
    return choose_drift(source.workspace, name.after, on=name.eval_set)


def state_words(drift: DriftRun) -> str:
    """How a drift is that somebody has asked for already; empty where it may be asked for."""
    if drift.state == "new" or drift.state in RETRIED:
        return ""
    held = f": {drift.reason}" if drift.state == "held" and drift.reason else ""
    return f"{drift.spec.name} is {drift.state}{held}"


def offer_words(drift: DriftRun) -> str:
    """What would be queued, for somebody to agree to."""
    job = drift.spec.job
    last = f" Last time it {drift.state}: {drift.reason}." if drift.state in RETRIED else ""
    return (
        f"No drift of this pair is measured.{last} Queue {drift.spec.name}? It loads both states and compares them at "
        f"up to {job.max_tokens:,} positions of {job.evaluation.sets[0].name}."
    )


def _read_spec(workspace: Workspace, run_id: str) -> RunSpec:
    from pydantic import ValidationError

    from engine.spec.run import RunSpec

    run = workspace.run(run_id)
    if not run.exists():
        raise DataError(
            f"the directory of run {run_id} was deleted, and its weights with it",
            "Launch its experiment again to have them made anew.",
        )
    try:
        return RunSpec.model_validate(run.spec())
    except ValidationError as error:
        raise DataError(
            f"the specification of run {run_id} is of another version of odyssey", "Launch its experiment again."
        ) from error


def _look(workspace: Workspace, spec: RunSpec) -> DriftRun:
    run = workspace.run(spec.run_id)
    if not run.exists():
        return DriftRun(spec, "new")
    found = run.state()
    return DriftRun(spec, found.state, found.reason)


def queue_drift(workspace: Workspace, spec: RunSpec) -> str:
    """Put the run into the queue, again if it failed, and make sure that a scheduler runs; what became of it."""
    from engine.launch.scheduler import ensure_running
    from engine.launch.submit import enqueue

    workspace.require_writable()
    submitted = enqueue(workspace, [spec], {spec.run_id: spec.cost_flops})
    ensure_running(workspace)
    if submitted.new:
        return "queued"
    return "queued again" if submitted.retried else f"there already ({workspace.run(spec.run_id).state().state})"


def require_adapted(drift: DriftRun) -> None:
    """ConfigError where the state is yet to be made, and nothing can be measured here and now."""
    if not drift.adapted:
        run_id = drift.spec.job.after.run
        raise ConfigError(
            f"run {run_id} is not done: its state {drift.spec.job.after.state} is yet to come",
            "Leave --here out: in the queue the drift waits for it.",
        )


def compare_models(asked: Drifting, hear: Hear) -> dict[str, Any]:
    """Have a process compare two models; errors and ``hear`` as of ``asking.ask``."""
    return ask(
        "engine.evaluate.drift_alone",
        asked.model_dump_json(),
        hear,
        noun="comparison",
        killed_hint="Two models are in memory at once: lower --batch-tokens or --window, or use smaller ones.",
    )
