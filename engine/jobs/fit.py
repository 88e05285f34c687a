"""The fit job: every form on the target and the base loss, fitted at some PTPP values and scored at held-out ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.jobs.points import Records, Sample, adaptation_sample, read_records, zero_shot_points
from engine.laws.anchors import split_anchors
from engine.laws.errors import LawError
from engine.laws.fit import Fit, FitOptions, fit
from engine.laws.form import Form, Role
from engine.laws.forms import find_form
from engine.laws.identify import identify
from engine.laws.points import Points, concatenate, count_distinct
from engine.laws.scores import score, shift_by_zero_shot
from engine.laws.usable import refusals
from engine.spec.strict import content_key

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.report import JobContext
    from engine.spec.run import FitJob

SAME_PTPP = 0.1
"""A measured PTPP belongs to the nearest requested one within 10 %: budgets are whole batches."""
PRETRAINING_FORMS = ("chinchilla", "gadre")
"""Forms of pretraining curves: fitted to the base states' zero-shot losses, with D = tokens seen."""


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
    forms = [find_form(name) for name in job.forms]
    tasks = [
        Task(role, form, anchors)
        for role in job.roles
        for form in forms
        if role in form.roles
        for anchors in sorted({0, 0 if form.name in PRETRAINING_FORMS else job.anchors})
    ]
    report.running(len(tasks), "fits")
    report.progress(0, "reading journals")
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
    pretraining = task.form.name in PRETRAINING_FORMS
    everything = zero_shot_points(records, sample) if pretraining else sample.points
    points = split_by_ptpp(everything, job.fit_ptpp, job.score_ptpp)
    fitted, held_out = (points.select(points.split == split) for split in ("fit", "score"))
    left_out = points.select(points.split == "excluded")
    if task.anchors:
        anchors, held_out, reserved = _share_out(task.form, held_out, task.anchors, context.spec.seed)
        fitted, left_out = concatenate([fitted, anchors]), concatenate([left_out, reserved])
    elif job.anchors and not pretraining:
        # Scores with and without anchors are on the same points.
        anchors, held_out, reserved = _share_out(task.form, held_out, job.anchors, context.spec.seed)
        unused = concatenate([anchors, reserved]).with_split("excluded", "kept for the fit with anchors")
        left_out = concatenate([left_out, unused])
    result = fit(
        task.form,
        fitted,
        FitOptions(task.role, job.delta, job.starts, job.bootstrap, context.spec.seed),
    )
    all_points = _mark(task.form, concatenate([fitted, held_out, left_out]))
    scored = all_points.select(all_points.split == "score")
    scores, sentences = _judge(task, result, scored, job.delta)
    _emit(task, job, context, result, all_points, scores, sentences)


def split_by_ptpp(points: Points, fit_ptpp: tuple[float, ...], score_ptpp: tuple[float, ...]) -> Points:
    """Set the splits of ``points`` by their PTPP; without ``fit_ptpp`` everything that is not scored is fitted."""
    split, reason = points.split.astype(object), points.reason.astype(object)
    wanted = np.array([*fit_ptpp, *score_ptpp], dtype=np.float64)
    for index in np.flatnonzero(points.split == "fit"):
        distance = np.abs(np.log(points.ptpp[index] / wanted)) if len(wanted) else np.array([])
        near = int(np.argmin(distance)) if len(distance) and np.isfinite(distance).all() else -1
        if near >= 0 and distance[near] <= np.log1p(SAME_PTPP):
            split[index] = "fit" if near < len(fit_ptpp) else "score"
        elif fit_ptpp:
            split[index], reason[index] = "excluded", "its PTPP is neither fitted nor scored"
    return replace(points, split=split.astype(str), reason=reason.astype(str))


def _share_out(form: Form, held_out: Points, count: int, seed: int) -> tuple[Points, Points, Points]:
    """Anchors are chosen among points the form can use, the same ones for every form with the same needs."""
    usable = refusals(form, held_out) == ""
    anchors, scored, reserved = split_anchors(held_out.select(usable), count, seed)
    return anchors, concatenate([scored, held_out.select(~usable)]), reserved


def _mark(form: Form, points: Points) -> Points:
    """Points the form cannot use become excluded, with the reason."""
    reasons = refusals(form, points)
    refused = (reasons != "") & (points.split != "excluded")
    return replace(
        points,
        split=np.where(refused, "excluded", points.split),
        reason=np.where(refused, reasons, points.reason),
    )


def _judge(task: Task, result: Fit, scored: Points, delta: float) -> tuple[dict[str, Any], list[str]]:
    law = result.law
    training = score(law.predict(result.points), result.points.loss, delta).as_dict()
    saw = [f"{task.anchors} anchors"] if task.anchors else []
    saw += [law.form.saw] if law.form.saw != "nothing" else []
    scores: dict[str, Any] = {"n": 0, "anchors": task.anchors, "saw": " and ".join(saw) or "nothing"}
    sentences: list[str] = []
    try:
        law.require_inside(scored)
        if len(scored):
            predicted = law.predict(scored)
            scores |= score(predicted, scored.loss, delta).as_dict()
            scores["extrapolation"] = law.extrapolation(scored)
            if task.form.name == "dcpt":
                scores["l0_shift"] = _score_shifted(result, predicted, scored, delta)
    except LawError as refusal:
        sentences.append(f"Not scored: {refusal.message}")
        scored = scored.select(np.zeros(len(scored), dtype=bool))
    scores["training"] = training
    return scores, [*identify(result, scored).sentences, *sentences]


def _score_shifted(result: Fit, predicted: np.ndarray, scored: Points, delta: float) -> dict[str, Any] | None:
    """The baseline "dcpt + L0 shift" on the same points; None where a zero-shot loss is missing."""
    shifted = shift_by_zero_shot(predicted, scored, result.points)
    return score(shifted, scored.loss, delta).as_dict() if np.isfinite(shifted).all() else None


def _emit(
    task: Task,
    job: FitJob,
    context: JobContext,
    result: Fit,
    points: Points,
    scores: dict[str, Any],
    sentences: list[str],
) -> None:
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
        scores=scores,
        identifiability=sentences,
        n_params_distinct=count_distinct(used.n_params),
        code_version=version("odyssey-tui"),
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
