"""The drift of an adapted state from its base: the same run whether an experiment plans it or a person asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.cost import count_evaluated
from engine.plan.identity import identify
from engine.plan.trajectory import state_name
from engine.spec.run import AdaptJob, DriftJob, EvalSet, Model, Resources, RunSpec
from store.errors import ConfigError, DataError
from store.names import suggest

TARGET = "target"
KEEP_HINT = "Drift needs a state's weights: set `keep: final` (or `keep: all`) in the adapt block and launch it again."


@dataclass(frozen=True)
class Planned:
    """A drift run apart from the experiment it belongs to. ``stem`` begins its identifier."""

    stem: str
    name: str
    job: DriftJob
    needs: tuple[str, ...]


def plan_drift(
    adaptation: RunSpec, *, state: str | None = None, on: str = TARGET, max_tokens: int | None = None
) -> Planned:
    """Compare ``state`` of an adaptation (its last one) with the base it started from, on one of the texts it scores.

    ``on`` is a role or the name of a set. ``DataError`` for a run that adapts nothing and a state whose weights are not
    kept, ``ConfigError`` for a set that the run does not score.
    """
    job = adaptation.job
    if not isinstance(job, AdaptJob):
        raise DataError(
            f"run {adaptation.run_id} is no adaptation ({job.kind}): it has no base to have drifted from",
            "Name an adapted run, or any two models: --before MODEL --after MODEL --text FILE.",
        )
    state = _choose_state(adaptation.run_id, job, state)
    chosen = _choose_set(adaptation.run_id, job, on)
    # What the rest of the experiment adds to a name is no part of the identifier.
    stem, name = (
        f"drift-{called.removeprefix('adapt-')}-{state}{'' if chosen.role == TARGET else f'-on-{chosen.name}'}"
        for called in (adaptation.run_id.rpartition("-")[0], adaptation.name)
    )
    sizes = {} if max_tokens is None else {"max_tokens": max_tokens}
    drift = DriftJob(
        before=job.base,
        after=Model(run=adaptation.run_id, state=state),
        tokenizer=job.tokenizer,
        evaluation=job.evaluation.model_copy(update={"sets": (chosen,)}),
        **sizes,
    )
    needs = (adaptation.run_id, *([job.base.run] if job.base.run else []))
    return Planned(stem, name, drift, needs)


def make_drift_run(
    adaptation: RunSpec, *, state: str | None = None, on: str = TARGET, max_tokens: int | None = None
) -> RunSpec:
    """The run of ``plan_drift`` by itself; errors as there."""
    planned = plan_drift(adaptation, state=state, on=on, max_tokens=max_tokens)
    _, run_id = identify(planned.stem, planned.job)
    wanted = adaptation.resources
    return RunSpec(
        run_id=run_id,
        name=planned.name,
        experiment=adaptation.experiment,
        needs=planned.needs,
        labels=adaptation.labels,
        resources=Resources(
            gpus=min(wanted.gpus, 1), cpu_threads=wanted.cpu_threads, backend=wanted.backend, slurm=wanted.slurm
        ),
        job=planned.job,
    )


def count_compared(job: DriftJob) -> int:
    """Tokens that either state is fed, about."""
    evaluation = job.evaluation
    overlap = evaluation.scheme.window / evaluation.scheme.stride if evaluation.scheme.stride else 1.0
    alone = [evaluation.model_copy(update={"sets": (chosen,)}) for chosen in evaluation.sets]
    return round(sum(min(job.max_tokens * overlap, count_evaluated(one)) for one in alone))


def _choose_state(run_id: str, job: AdaptJob, wanted: str | None) -> str:
    kind, budgets = ("atpp", job.atpp) if job.atpp else ("tokens", job.adapt_tokens)
    states = [state_name(kind, budget) for budget in sorted(budgets)]
    state = wanted or states[-1]
    if state.partition("+")[0] not in states:
        raise DataError(f"run {run_id} has no state {state!r}", suggest(state, states, f"It has {', '.join(states)}."))
    if state not in states:
        raise DataError(
            f"the state {state} of run {run_id} is interpolated (WiSE-FT): its weights are never saved",
            f"Its adapted states: {', '.join(states)}.",
        )
    kept = {"none": [], "final": states[-1:], "all": states}[job.keep]
    if state not in kept:
        held = f"only {kept[0]} was" if kept else "none was"
        raise DataError(
            f"the weights of {state} of run {run_id} are not kept (`keep: {job.keep}`: {held})",
            "Set `keep: all` in the adapt block and launch it again." if kept else KEEP_HINT,
        )
    return state


def _choose_set(run_id: str, job: AdaptJob, on: str) -> EvalSet:
    sets = job.evaluation.sets
    found = next((chosen for chosen in sets if chosen.name == on), None) or next(
        (chosen for chosen in sets if chosen.role == on), None
    )
    if found is None:
        names = [chosen.name for chosen in sets]
        raise ConfigError(f"run {run_id} is not scored on {on!r}", suggest(on, names, f"It is on {', '.join(names)}."))
    return found
