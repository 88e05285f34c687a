"""Fitting laws again: one fit run over everything that has been measured for a domain, put into the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.laws.errors import LawError
from odyssey_tui.services.stored_laws import distinct
from odyssey_tui.services.table_fits import read_form
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from engine.spec.run import FitJob, RunSpec
    from odyssey_tui.services.populations import Population
    from odyssey_tui.services.scatter_cells import Wanted
    from store.database import Connection
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
    "replay_odds",
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
    population: str
    """Which of several ways to adapt it is of, in words; empty where there is one."""
    left_out: tuple[str, ...]
    """Adapted states of the domain that may not stand in the same fit, a sentence each."""


@dataclass(frozen=True)
class Basis:
    """What a fit rests on: points of the target loss, the finished runs behind them, options of the newest fit."""

    points: list[Measured]
    needs: list[str]
    settings: dict[str, Any]
    population: Population | None
    left_out: tuple[str, ...]


def fit_again(
    workspace: Workspace,
    *,
    domain: str | None = None,
    experiment: str | None = None,
    wanted: Wanted | None = None,
    **options: Any,
) -> Fitting:
    """Queue a fit of a domain's adapted states and make sure that a scheduler runs.

    States that were adapted in different ways are not mixed: ``wanted`` says which of them; without it those of the
    newest fit, else plain full fine-tuning. Options left out (None) are those of the domain's newest fit, else the
    defaults: all forms, the highest PTPP held out. The same options on the same runs are the same fit, which is not
    done twice. Raises LawError when there is nothing to fit.
    """
    from engine.launch.scheduler import ensure_running
    from engine.launch.submit import enqueue

    workspace.require_writable()
    spec, basis = make_spec(workspace, domain, experiment, options, wanted)
    known = workspace.run(spec.run_id)
    state = known.state().state if known.exists() else "new"
    submitted = enqueue(workspace, [spec], {spec.run_id: spec.cost_flops})
    if state != "done":
        ensure_running(workspace)
    job: Any = spec.job
    return Fitting(
        spec.run_id,
        job.domain,
        job,
        len({point.owner for point in basis.points}),
        len(basis.points),
        spec.run_id not in submitted.existing,
        state,
        basis.population.name if basis.population else "",
        basis.left_out,
    )


WRITTEN: dict[str, Callable[[str], Any]] = {
    "anchors": lambda text: tuple(int(part) for part in text.split(",")),
    "score-ptpp": lambda text: tuple(float(part) for part in text.split(",")),
    "fit-ptpp": lambda text: tuple(float(part) for part in text.split(",")),
    "forms": lambda text: tuple(text.split(",")),
    "starts": int,
    "bootstrap": int,
    "method": str,
    "variant": str,
    "newlines": str,
    "lr": float,
    "base": str,
}
"""Options of a fit as they are written on a line, and what reads them."""
OF_STATES = ("method", "variant", "newlines", "lr", "base")


def describe_options() -> str:
    """What may be written for ``fit_as_written``."""
    return (
        "Fit laws to everything measured now. Empty: as before; else key=value, such as anchors=5,20 score-ptpp=64 "
        f"forms=dcpt,zero_shot. Keys: {', '.join(WRITTEN)}."
    )


def fit_as_written(workspace: Workspace, text: str, domain: str | None = None) -> Fitting:
    """``fit_again`` with options written as ``key=value``. Raises ConfigError for what cannot be read."""
    from odyssey_tui.services.scatter_cells import Wanted

    options: dict[str, Any] = {}
    for part in text.split():
        key, _, value = part.partition("=")
        if key not in WRITTEN or not value:
            raise ConfigError(
                f"{part!r} is no option of a fit", suggest(key, WRITTEN, f"Write key=value: {', '.join(WRITTEN)}.")
            )
        try:
            options[key.replace("-", "_")] = WRITTEN[key](value)
        except ValueError as error:
            raise ConfigError(f"{part!r} cannot be read: {error}", "Numbers stand with commas: 5,20.") from error
    wanted = Wanted(**{name: options.pop(name) for name in OF_STATES if name in options})
    return fit_again(workspace, domain=domain, wanted=wanted, **options)


def make_spec(
    workspace: Workspace,
    domain: str | None,
    experiment: str | None,
    options: dict[str, Any],
    wanted: Wanted | None = None,
) -> tuple[RunSpec, Basis]:
    """The fit run over what is measured now, and what it rests on."""
    from engine.plan.identity import identify
    from engine.spec.run import FitJob, RunSpec

    basis = read_basis(workspace, domain, experiment, wanted)
    points = basis.points
    chosen = {key: value for key, value in options.items() if value is not None}
    if isinstance(chosen.get("anchors"), tuple) and len(chosen["anchors"]) < 2:
        # A single number is written as one, so that it is the same fit however it was asked for.
        chosen["anchors"] = sum(chosen["anchors"])
    job_fields = {**basis.settings, **chosen, "domain": points[0].domain}
    require_counts(chosen)
    job_fields |= hold_out(points, job_fields, chosen)
    job_fields["anchors"] = anchors_within(points, job_fields, chosen)
    job_fields |= define(job_fields["forms"], job_fields.get("definitions", ()))
    job = FitJob(**job_fields)
    name, run_id = identify(f"fit-{job.domain}", job, needs=basis.needs)
    return (
        RunSpec(
            run_id=run_id,
            name=name,
            experiment=experiment or points[0].experiment or "fits",
            needs=tuple(basis.needs),
            labels={"domain": job.domain, **label(basis.population)},
            job=job,
        ),
        basis,
    )


def label(population: Population | None) -> dict[str, str | int | float | None]:
    """What a fit of states that are not plain is found by."""
    if population is None or population.cell.is_plain:
        return {}
    cell = population.cell
    labels = {"method": cell.method, "variant": cell.variant, "newlines": cell.newlines}
    return {name: value for name, value in labels.items() if value not in (None, "full", "keep")}


def define(forms: Sequence[str], known: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``forms`` by name and the ``definitions`` of those that are not in the registry.

    A form may be a YAML file, or one of ``known`` definitions. Raises as ``read_form``.
    """
    definitions = {definition["name"]: definition for definition in known}
    read = [read_form(form) if form not in definitions else definitions[form] for form in forms]
    names = [form if isinstance(form, str) else form["name"] for form in read]
    return {"forms": tuple(names), "definitions": tuple(form for form in read if not isinstance(form, str))}


def read_basis(workspace: Workspace, domain: str | None, experiment: str | None, wanted: Wanted | None = None) -> Basis:
    """The points of one domain that may stand in one fit, and what else a fit needs."""
    from store.database import lease
    from store.queries.points import adaptation_points, imported_pretraining
    from store.queries.runs import list_runs, read_spec

    with lease(workspace) as con:
        done = {run.run_id: run for run in list_runs(con) if run.state == "done"}
        experiments = sorted({run.experiment for run in done.values() if run.experiment})
        if experiment is not None and experiment not in experiments:
            hint = suggest(experiment, experiments, f"Experiments: {', '.join(experiments) or 'none'}.")
            raise LawError(f"No run of an experiment {experiment!r} has finished.", hint)
        adapted_states = adaptation_points(con, experiment=experiment, role="target")
        never_adapted = imported_pretraining(con, experiment=experiment, role="target")
        fits = [run for run in done.values() if run.kind == "fit" and domain in (None, run.domain)]
        newest = max(fits, key=lambda run: run.ended or 0.0, default=None)
        earlier = read_spec(con, newest.run_id) if newest is not None else {}
        measured: list[Measured] = [point for point in adapted_states if point.owner in done]
        with_points = {point.domain for point in measured}
        measured += [point for point in never_adapted if point.owner in done and point.domain not in with_points]
        domain = domain or (newest.domain if newest is not None else None) or commonest_domain(measured)
        points = [point for point in measured if point.domain == domain]
        if not points:
            known = ", ".join(sorted({point.domain or "–" for point in measured})) or "none yet"
            sought = f"{domain!r}" if domain else "any domain"
            raise LawError(f"No finished run adapted to {sought}.", f"Domains with points: {known}.")
        population, left_out = None, ()
        if domain in with_points:
            population, left_out = choose_points(con, points, wanted, earlier.get("needs", ()))
            points = list(population.points)
        adapted = list(dict.fromkeys(point.owner for point in points))
        bases = dict.fromkeys(need for run_id in adapted for need in read_spec(con, run_id).get("needs", ()))
    prepared = [run_id for run_id in bases if run_id in done and done[run_id].kind != "prepare"]
    settings = earlier.get("job", {})
    known = {key: settings[key] for key in OPTIONS if key in settings}
    forms = PRETRAINING_FORMS if population is None else DEFAULT_FORMS
    return Basis(points, [*prepared, *adapted], {"forms": forms, **known}, population, left_out)


def choose_points(
    con: Connection, points: Sequence[AdaptationPoint], wanted: Wanted | None, known: Iterable[str]
) -> tuple[Population, tuple[str, ...]]:
    """The population asked for, else that of the ``known`` runs, else the plainest; and what is left out."""
    from odyssey_tui.services.populations import choose_population, population_of, split_populations, tell_others
    from odyssey_tui.services.scatter_cells import Wanted
    from odyssey_tui.services.similarity import read_surroundings

    populations = split_populations(points, read_surroundings(con))
    chosen = population_of(known, populations) if wanted is None or wanted == Wanted() else None
    chosen = chosen or choose_population(populations, wanted or Wanted())
    return chosen, tell_others(chosen, populations)


def commonest_domain(points: Sequence[Measured]) -> str | None:
    """The domain with the most points."""
    domains = [point.domain for point in points]
    return max(dict.fromkeys(domains), key=domains.count, default=None)


def hold_out(
    points: Sequence[Measured], settings: dict[str, Any], asked: Mapping[str, Any] | None = None
) -> dict[str, tuple[float, ...]]:
    """Which PTPP to fit and which to score: as ``asked``, else as in ``settings``, else the highest measured is held
    out. Raises LawError for a PTPP asked for that was not measured, or that is to be both.

    What is not asked for gives way to what is, and leaves out what is not measured any more.
    """
    import numpy as np

    from engine.laws.splits import is_measured

    asked = asked or {}
    known = distinct(np.array([point.ptpp if point.ptpp is not None else np.nan for point in points], dtype=float))
    measured = [float(f"{value:.3g}") for value in known]
    sides = {}
    for name in ("fit_ptpp", "score_ptpp"):
        wanted = tuple(asked.get(name) or ())
        if unknown := [value for value in wanted if not is_measured(value, measured)]:
            option = f"--{name.replace('_', '-')}"
            there = ", ".join(f"{value:g}" for value in measured) or "none is known"
            raise LawError(f"{option} {unknown[0]:g}: nothing was measured at that PTPP.", f"Measured: {there}.")
        sides[name] = wanted or tuple(value for value in settings.get(name) or () if is_measured(value, measured))
    fitted, scored = sides["fit_ptpp"], sides["score_ptpp"]
    if both := [value for value in scored if is_measured(value, fitted)]:
        if asked.get("fit_ptpp") and asked.get("score_ptpp"):
            raise LawError(f"P = {both[0]:g} is to be both fitted and held out.", "Leave it out of one of the two.")
        if asked.get("fit_ptpp"):
            scored = tuple(value for value in scored if value not in both)
        else:
            fitted = tuple(value for value in fitted if not is_measured(value, scored))
    if len(measured) < 2 or (fitted and scored):
        return {"fit_ptpp": fitted, "score_ptpp": scored}
    scored = scored or tuple(value for value in measured[-1:] if not is_measured(value, fitted))
    return {"fit_ptpp": fitted or tuple(value for value in measured if value not in scored), "score_ptpp": scored}


def require_counts(asked: Mapping[str, Any]) -> None:
    """Refuse numbers of starts, refits or anchors that are none."""
    for name, least in (("starts", 1), ("bootstrap", 0), ("anchors", 0)):
        given = asked.get(name, least)
        if low := [value for value in (given if isinstance(given, tuple) else (given,)) if value < least]:
            raise ConfigError(f"{name} {low[0]} is below {least}", "Give a whole number.")


def anchors_within(
    points: Sequence[Measured], job_fields: Mapping[str, Any], asked: Mapping[str, Any]
) -> int | tuple[int, ...]:
    """The numbers of anchors of a fit; none where those of the newest fit would leave nothing to score.

    Raises LawError where such a number was asked for.
    """
    from engine.laws.splits import is_measured

    given = job_fields.get("anchors") or 0
    most = max(given, default=0) if isinstance(given, tuple) else given
    held_out = [point for point in points if point.ptpp and is_measured(point.ptpp, job_fields["score_ptpp"])]
    if not most or len(held_out) > most:
        return given
    if not asked.get("anchors"):
        return 0
    if not held_out:
        raise LawError(f"{most} anchors are held-out points, and nothing is held out.", "Say which PTPP: --score-ptpp.")
    raise LawError(
        f"{most} anchors of {len(held_out)} held-out points would leave none to score.", "Ask for fewer anchors."
    )
