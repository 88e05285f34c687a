"""Fitting laws again: one fit run over everything that has been measured for a domain, put into the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.laws.errors import LawError
from odyssey_tui.services.stored_laws import distinct
from odyssey_tui.services.table_fits import read_form

if TYPE_CHECKING:
    from engine.spec.run import FitJob, RunSpec
    from store.queries.points import AdaptationPoint, PretrainingPoint
    from store.workspace import Workspace

    Measured = AdaptationPoint | PretrainingPoint

DEFAULT_FORMS = (
    "chinchilla",
    "dcpt",
    "ptpp_additive",
    "ptpp_gated",
    "ptpp_gated_floor",
    "zero_shot",
    "forgetting_pinned",
)
PRETRAINING_FORMS = ("chinchilla", "gadre")
"""Where nothing was adapted: an imported table of pretrained models."""
OPTIONS = ("forms", "definitions", "fit_ptpp", "score_ptpp", "roles", "delta", "starts", "bootstrap", "anchors")


@dataclass(frozen=True)
class Fitting:
    """A fit run that was asked for. ``queued``: by this call; otherwise it was there, and ``state`` says how it is."""

    run_id: str
    domain: str
    job: FitJob
    n_runs: int
    n_points: int
    queued: bool
    state: str


def fit_again(
    workspace: Workspace,
    *,
    domain: str | None = None,
    experiment: str | None = None,
    **options: Any,
) -> Fitting:
    """Queue a fit of a domain's adapted states (full fine-tuning) and make sure that a scheduler runs.

    Options left out (None) are those of the domain's newest fit, else the defaults: all forms, the highest PTPP held
    out. The same options on the same runs are the same fit, which is not done twice. Raises LawError when there is
    nothing to fit.
    """
    from engine.launch.scheduler import ensure_running
    from engine.launch.submit import enqueue

    workspace.require_writable()
    spec, points = make_spec(workspace, domain, experiment, options)
    known = workspace.run(spec.run_id)
    state = known.state().state if known.exists() else "new"
    submitted = enqueue(workspace, [spec], {spec.run_id: spec.cost_flops})
    if state != "done":
        ensure_running(workspace)
    job: Any = spec.job
    runs = len({point.owner for point in points})
    return Fitting(spec.run_id, job.domain, job, runs, len(points), spec.run_id not in submitted.existing, state)


def make_spec(
    workspace: Workspace, domain: str | None, experiment: str | None, options: dict[str, Any]
) -> tuple[RunSpec, list[Measured]]:
    """The fit run over what is measured now, and its points of the target loss."""
    from engine.spec.run import RUN_FORMAT, FitJob, RunSpec
    from engine.spec.strict import content_key

    points, needs, settings = read_basis(workspace, domain, experiment)
    chosen = {key: value for key, value in options.items() if value is not None}
    job_fields = {**settings, **chosen, "domain": points[0].domain}
    job_fields |= hold_out(points, job_fields)
    job_fields |= define(job_fields["forms"], job_fields.get("definitions", ()))
    job = FitJob(**job_fields)
    key = content_key([RUN_FORMAT, job.kind, job.essence(), 0, needs], 8)
    name = f"fit-{job.domain}"
    return (
        RunSpec(
            run_id=f"{name}-{key}",
            name=name,
            experiment=experiment or points[0].experiment or "fits",
            needs=tuple(needs),
            labels={"domain": job.domain},
            job=job,
        ),
        points,
    )


def define(forms: Sequence[str], known: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``forms`` by name and the ``definitions`` of those that are not in the registry.

    A form may be a YAML file, or one of ``known`` definitions. Raises as ``read_form``.
    """
    definitions = {definition["name"]: definition for definition in known}
    read = [read_form(form) if form not in definitions else definitions[form] for form in forms]
    names = [form if isinstance(form, str) else form["name"] for form in read]
    return {"forms": tuple(names), "definitions": tuple(form for form in read if not isinstance(form, str))}


def read_basis(
    workspace: Workspace, domain: str | None, experiment: str | None
) -> tuple[list[Measured], list[str], dict[str, Any]]:
    """Points of the target loss, the finished runs behind them, and the options of the newest fit."""
    from store.database import lease
    from store.queries.points import AdaptationPoint, adaptation_points, imported_pretraining
    from store.queries.runs import list_runs, read_spec

    with lease(workspace) as con:
        done = {run.run_id: run for run in list_runs(con) if run.state == "done"}
        adapted_states = adaptation_points(con, experiment=experiment, role="target", method="full")
        never_adapted = imported_pretraining(con, experiment=experiment, role="target")
        fits = [run for run in done.values() if run.kind == "fit" and domain in (None, run.domain)]
        newest = max(fits, key=lambda run: run.ended or 0.0, default=None)
        settings = read_spec(con, newest.run_id)["job"] if newest is not None else {}
        measured: list[Measured] = [point for point in adapted_states if point.owner in done]
        with_points = {point.domain for point in measured}
        measured += [point for point in never_adapted if point.owner in done and point.domain not in with_points]
        domain = domain or (newest.domain if newest is not None else None) or commonest_domain(measured)
        points = [point for point in measured if point.domain == domain]
        if not points:
            known = ", ".join(sorted({point.domain or "–" for point in measured})) or "none yet"
            raise LawError(f"No finished run adapted to {domain or 'any domain'}.", f"Domains with points: {known}.")
        adapted = list(dict.fromkeys(point.owner for point in points))
        bases = dict.fromkeys(need for run_id in adapted for need in read_spec(con, run_id).get("needs", ()))
    prepared = [run_id for run_id in bases if run_id in done and done[run_id].kind != "prepare"]
    forms = DEFAULT_FORMS if any(isinstance(point, AdaptationPoint) for point in points) else PRETRAINING_FORMS
    known = {key: settings[key] for key in OPTIONS if key in settings}
    return points, [*prepared, *adapted], {"forms": forms, **known}


def commonest_domain(points: Sequence[Measured]) -> str | None:
    """The domain with the most points."""
    domains = [point.domain for point in points]
    return max(dict.fromkeys(domains), key=domains.count, default=None)


def hold_out(points: Sequence[Measured], chosen: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """Which PTPP to fit and which to score: as chosen, else the highest measured one is held out."""
    import numpy as np

    fitted, scored = tuple(chosen.get("fit_ptpp") or ()), tuple(chosen.get("score_ptpp") or ())
    if fitted and scored:
        return {"fit_ptpp": fitted, "score_ptpp": scored}
    known = distinct(np.array([point.ptpp if point.ptpp is not None else np.nan for point in points], dtype=float))
    measured = [float(f"{value:.3g}") for value in known]
    if len(measured) < 2:
        return {"fit_ptpp": fitted, "score_ptpp": scored}
    scored = scored or tuple(measured[-1:])
    return {"fit_ptpp": fitted or tuple(value for value in measured if value not in scored), "score_ptpp": scored}
