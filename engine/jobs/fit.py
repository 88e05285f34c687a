"""The fit job: every form on the target and the base loss, fitted at some PTPP values and scored at held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.code import describe_laws
from engine.jobs.points import Records, Sample, adaptation_sample, read_records, zero_shot_points
from engine.laws.anchors import Anchors
from engine.laws.errors import LawError
from engine.laws.fit import FitOptions
from engine.laws.form import Form, Role
from engine.laws.forms import form_of
from engine.laws.points import Points, count_distinct
from engine.laws.splits import split_by_ptpp
from engine.laws.trials import Trial, attempt
from engine.spec.strict import content_key

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.report import JobContext
    from engine.spec.run import FitJob


@dataclass(frozen=True)
class Task:
    """One fit to make."""

    role: Role
    form: Form
    anchors: int


def execute(job: FitJob, context: JobContext) -> None:
    """Emit one ``fit`` event, with its points and draws, per role, form and use of anchors.

    A form that cannot be fitted to a role's points is left out with a warning; LawError when none could be.
    """
    report = context.report
    own = {definition.name: definition for definition in job.definitions}
    forms = [form_of(own.get(name, name)) for name in job.forms]
    tasks = [
        Task(role, form, anchors)
        for role in job.roles
        for form in forms
        if role in form.roles
        for anchors in ((0,) if form.describes_pretraining else (0, *job.anchor_counts))
    ]
    report.running(len(tasks), "fits")
    report.progress(0, "reading journals")
    gone = [run_id for run_id in context.spec.needs if not context.workspace.run(run_id).exists()]
    if gone:
        listed = ", ".join(gone[:3]) + (" …" if len(gone) > 3 else "")
        report.warning(f"{len(gone)} of {len(context.spec.needs)} runs are deleted and left out: {listed}")
    records = read_records(context.workspace, context.spec.needs)
    samples = {role: adaptation_sample(records, job.domain, role) for role in job.roles}
    made = 0
    for done, task in enumerate(tasks):
        report.check_stop()
        report.progress(done, f"{task.role} loss · {task.form.name}")
        try:
            _fit_one(task, job, context, records, samples[task.role])
            made += 1
        except LawError as refusal:
            report.warning(f"{task.form.name} on the {task.role} loss left out: {refusal.message} {refusal.hint}")
    report.progress(len(tasks), "done")
    if not made:
        raise LawError(
            f"No law could be fitted to {job.domain}: {sum(len(sample.points) for sample in samples.values())} points.",
            "The warnings of this run say why for each form.",
        )


def _fit_one(task: Task, job: FitJob, context: JobContext, records: Records, sample: Sample) -> None:
    # Curves of pretraining are fitted to the base states' zero-shot losses, with D = tokens seen.
    pretraining = task.form.describes_pretraining
    everything = zero_shot_points(records, sample) if pretraining else sample.points
    trial = attempt(
        task.form,
        split_by_ptpp(everything, job.fit_ptpp, job.score_ptpp),
        FitOptions(task.role, job.delta, job.starts, job.bootstrap, context.spec.seed),
        Anchors(task.anchors, 0 if pretraining else max(job.anchor_counts, default=0), seed=context.spec.seed),
    )
    _emit(task, job, context, trial)


def _emit(task: Task, job: FitJob, context: JobContext, trial: Trial) -> None:
    result, points = trial.fit, trial.points
    law = result.law
    fit_id = content_key([context.spec.run_id, task.role, task.form.name, task.anchors])
    used = points.select(np.isin(points.split, ("fit", "anchor")))
    excluded = points.split == "excluded"
    context.report.emit(
        "fit",
        fit_id=fit_id,
        form=task.form.name,
        role=task.role,
        domain=job.domain,
        params=law.params,
        objective=result.objective,
        n_points=result.n_points,
        n_excluded=int(excluded.sum()),
        starts_agreeing=result.starts_agreeing / result.starts_polished,
        at_bound=list(result.at_bound),
        condition=result.condition,
        fit_ptpp=list(job.fit_ptpp),
        score_ptpp=list(job.score_ptpp),
        delta=job.delta,
        P0=law.p0,
        scores=trial.scores,
        identifiability=list(trial.sentences),
        n_params_distinct=count_distinct(used.n_params),
        code_version=describe_laws(),
        shard=context.report.shard("fit_points", points_table(fit_id, points, law.predict(points))),
        shard_draws=context.report.shard("fit_draws", draws_table(fit_id, law.draws)),
    )


def points_table(fit_id: str, points: Points, predicted: np.ndarray) -> pa.Table:
    """The ``fit_points`` shard: every point with its split, reason and prediction; unknown values are null."""
    import pyarrow as pa

    def number(values: np.ndarray) -> pa.Array:
        return pa.array(np.where(np.isfinite(values), values, np.nan), from_pandas=True)

    def whole(values: np.ndarray) -> pa.Array:
        return pa.array([round(value) if np.isfinite(value) else None for value in values.tolist()], pa.int64())

    return pa.table(
        {
            "fit_id": pa.array([fit_id] * len(points), pa.string()),
            "point": pa.array(range(len(points)), pa.int32()),
            "split": pa.array(points.split.tolist(), pa.string()),
            "run_id": pa.array(points.run.tolist(), pa.string()),
            "n_params": whole(points.n_params),
            "ptpp": number(points.ptpp),
            "adapt_tokens": whole(points.adapt_tokens),
            "atpp": number(points.atpp),
            "replay_ratio": number(points.replay_ratio),
            "share": number(points.share),
            "loss": number(points.loss),
            "zero_shot_loss": number(points.zero_shot_loss),
            "predicted": number(predicted),
            "reason": pa.array(points.reason.tolist(), pa.string()),
            "weight": number(points.weight),
        }
    )


def draws_table(fit_id: str, draws: np.ndarray) -> pa.Table:
    """The ``fit_draws`` shard: natural parameters in the order of the form's parameters."""
    import pyarrow as pa

    return pa.table(
        {
            "fit_id": pa.array([fit_id] * len(draws), pa.string()),
            "draw": pa.array(range(len(draws)), pa.int32()),
            "params": pa.array(draws.tolist(), pa.list_(pa.float64())),
        }
    )
