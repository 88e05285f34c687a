"""The cheapest adaptation that keeps within limits, by the stored laws: which replay ratio and budget to run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.laws.errors import LawError
from engine.laws.law import Law
from engine.laws.mixtures import MixtureLaw, fit_mixture_law
from engine.laws.planner import Cell, Goal, Limits, Stage
from engine.laws.planner import Plan as Grid
from engine.laws.planner import plan as plan_grid
from engine.laws.points import Points
from engine.spec.experiment import Limits as Wanted
from odyssey_tui.services.fit_words import is_pretraining
from odyssey_tui.services.forecast import list_sizes
from odyssey_tui.services.forecast_curves import mean_known
from odyssey_tui.services.format import count
from odyssey_tui.services.stored_laws import (
    NO_FITS,
    NO_FITS_HINT,
    distinct,
    form_of_fit,
    held_out_error,
    near,
    read_family,
    read_law,
)

if TYPE_CHECKING:
    from odyssey_tui.services.stored_laws import Family
    from store.database import Connection
    from store.queries.fits import FitRow
    from store.workspace import Workspace

DEFAULT_FORGETTING = 0.05
"""Nats per token, where no limit is given."""
REPLAY_STEP = 0.025
ROWS = 4
"""Every fourth replay ratio of the grid is listed: 0, 0.1, 0.2, …"""
BUDGETS = 41
GOALS: dict[Goal, str] = {"cheapest": "Cheapest", "best": "Best target loss"}


@dataclass(frozen=True)
class Model:
    """The model to adapt. Zero-shot losses are measured, or forecast where ``forecast`` says so."""

    label: str
    n_params: float
    ptpp: float
    target_zero_shot: float
    base_zero_shot: float
    forecast: bool


@dataclass(frozen=True)
class Option:
    """The chosen budget at one replay ratio; None when no budget meets the limits."""

    replay_ratio: float
    cell: Cell | None


@dataclass(frozen=True)
class Critical:
    """At one budget, the largest target share within the limit on forgetting at which the target loss falls."""

    atpp: float
    adapt_tokens: float
    target_share: float


@dataclass(frozen=True)
class Answer:
    """The chosen cell, what it rests on, and what the other replay ratios would cost."""

    domain: str = ""
    goal: Goal = "cheapest"
    model: Model | None = None
    limits: tuple[str, ...] = ()
    target_form: str = ""
    base_form: str = ""
    choice: Cell | None = None
    options: tuple[Option, ...] = ()
    shortfalls: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    front: tuple[Cell, ...] = ()
    """At the budget of the choice (else the largest within the compute): cells that none beats on both losses."""
    critical: tuple[Critical, ...] = ()
    mixture_law: MixtureLaw | None = None
    """R(T) through the critical shares, where there are four."""
    reason: str = ""
    hint: str = ""


def cheapest(
    workspace: Workspace,
    *,
    forgetting: float | None = None,
    forgetting_share: float | None = None,
    target_loss: float | None = None,
    target_gain: float | None = None,
    flops: float | None = None,
    target_tokens: float | None = None,
    size: str | None = None,
    ptpp: float | None = None,
    domain: str | None = None,
    experiment: str | None = None,
    goal: Goal | None = None,
) -> Answer:
    """Plan with the laws that predict held-out points best; the base law must be exact at D = 0.

    The default model is the largest measured one at its highest PTPP. Where no limit is given, those of the experiment
    that was fitted hold, else a forgetting of 0.05 nats. ``target_gain`` asks for a target loss that far below its
    zero-shot value, in nats. The default goal is the cheapest cell where a target loss or gain is asked for, else the
    best target loss. Raises LawError where the laws cannot serve.
    """
    from store.database import lease

    with lease(workspace) as con:
        family = read_family(con, domain, experiment)
        if family is None:
            return Answer(reason=NO_FITS, hint=NO_FITS_HINT)
        if all(limit is None for limit in (forgetting, forgetting_share, target_loss, target_gain, flops)):
            chosen = experiment_limits(con, workspace, family)
            forgetting, target_loss, target_gain = chosen.forgetting, chosen.target_loss, chosen.target_gain
        basis = read_basis(con, family, size, ptpp)
    wanted = Limits(forgetting, forgetting_share, target_loss, flops, target_tokens)
    return answer_with(basis, wanted, target_gain, goal, family.domain)


def answer_with(basis: Basis, limits: Limits, target_gain: float | None, goal: Goal | None, domain: str) -> Answer:
    """The plan for a model and laws; ``target_gain`` tightens the limit on the target loss."""
    model = basis.model
    gained = None if target_gain is None else model.target_zero_shot - target_gain
    asked = [limit for limit in (limits.target_loss, gained) if limit is not None]
    limits = replace(limits, target_loss=min(asked, default=None))
    goal = goal or ("cheapest" if asked else "best")
    grid = search(basis, limits, goal)
    return Answer(
        domain,
        goal,
        model,
        tell_limits(limits, target_gain if limits.target_loss == gained else None),
        basis.target.form.name,
        basis.base.form.name,
        grid.choice,
        list_options(grid, goal),
        grid.shortfalls,
        grid.warnings,
        front_of(grid, limits),
        *list_critical(grid, model),
    )


def front_of(grid: Grid, limits: Limits) -> tuple[Cell, ...]:
    """Target loss against forgetting over the replay ratio, at one budget."""
    if grid.choice is not None:
        return grid.pareto(math.inf, grid.choice.atpp)
    most = limits.flops or math.inf
    within = grid.atpp[(grid.flops <= most * (1 + 1e-9)).any(axis=0)]
    return grid.pareto(most, float(within.max())) if len(within) else ()


def list_critical(grid: Grid, model: Model) -> tuple[tuple[Critical, ...], MixtureLaw | None]:
    """Critical mixtures by budget, and the law through them."""
    found = []
    for index, budget in enumerate(grid.atpp.tolist()):
        share = 1.0 - float(grid.critical_replay[index])
        reached = np.interp(1.0 - share, grid.replay_ratio, grid.target_loss[:, index])
        if math.isfinite(share) and reached < model.target_zero_shot:
            found.append(Critical(budget, budget * model.n_params, share))
    # A share at the end of the grid is no mixture at which anything becomes critical.
    inside = [one for one in found if 1e-6 < 1.0 - one.target_share < grid.replay_ratio[-1] - 1e-6]
    try:
        law = fit_mixture_law([one.adapt_tokens for one in inside], [one.target_share for one in inside])
    except LawError:
        law = None
    return tuple(found), law


@dataclass(frozen=True)
class Basis:
    """What a plan rests on: the laws of both losses, and the model to adapt, also as the planner takes it."""

    target: Law
    base: Law
    stage: Stage
    model: Model


def read_basis(con: Connection, family: Family, size: str | None, ptpp: float | None) -> Basis:
    """The best laws of a domain and the model of this size and PTPP (the largest measured one, when None)."""
    from store.queries.points import adaptation_points

    measured = adaptation_points(con, domain=family.domain)
    qualities = {p.run_id: p.base_zero_shot_loss for p in measured if p.base_zero_shot_loss is not None}
    target, target_points = best_law(con, family, "target", qualities, exact=False)
    base, base_points = best_law(con, family, "base", qualities, exact=True)
    n_params, label = find_size(size, list_sizes(target_points, measured))
    ptpp = ptpp if ptpp is not None else max(distinct(target_points.ptpp), default=math.nan)
    starts = [
        zero_shot(con, family, role, points, n_params, ptpp, qualities)
        for role, points in (("target", target_points), ("base", base_points))
    ]
    losses = [start_value(start, n_params, ptpp) for start in starts]
    model = Model(label, n_params, ptpp, *losses, forecast=any(isinstance(start, Law) for start in starts))
    return Basis(target, base, Stage(n_params, ptpp, *starts), model)


def search(basis: Basis, limits: Limits, goal: Goal) -> Grid:
    """Replay ratios up to the largest measured one, budgets over the measured range, twice that for the cheapest."""
    low, high = basis.target.ranges["A"]
    reach = 1.0 if goal == "best" else 2.0
    return plan_grid(
        basis.target,
        basis.base,
        basis.stage,
        limits,
        replay_ratio=np.arange(0.0, max(basis.target.ranges["rho"][1], REPLAY_STEP) + 1e-9, REPLAY_STEP),
        atpp=np.geomspace(low / reach, high * reach, BUDGETS),
        goal=goal,
    )


def experiment_limits(con: Connection, workspace: Workspace, family: Family) -> Wanted:
    """The limits of the experiment, as launched last, whose points were fitted."""
    import yaml

    from engine.launch.experiments import read_launches
    from store.queries.runs import find_run

    name = find_run(con, family.run_id).experiment if family.run_id else None
    for launched in read_launches(workspace):
        if launched.name == name:
            written = yaml.safe_load(launched.document.read_text()).get("limits")
            if written:
                return Wanted.model_validate(written)
    return Wanted(forgetting=DEFAULT_FORGETTING)


def best_law(
    con: Connection, family: Family, role: str, qualities: dict[str, float], *, exact: bool
) -> tuple[Law, Points]:
    """The law of ``role`` with the lowest held-out error (``exact``: among those exact at D = 0), and its points."""
    fits = [fit for fit in family.of(role) if not is_pretraining(fit) and fit.scores.get("n")]
    usable = [fit for fit in fits if form_of_fit(fit).exact_at_zero] if exact else fits
    if not usable:
        exactly = " that is exact at D = 0" if exact else ""
        raise LawError(
            f"Planning needs a law of the {role} loss{exactly}, and none is stored for {family.domain}.",
            "Fit zero_shot or forgetting_pinned too: `odyssey fit --forms ...`." if exact else NO_FITS_HINT,
        )
    law, _, points = read_law(con, min(usable, key=held_out_error), qualities)
    return law, points


def find_size(size: str | None, sizes: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """N and its label: the largest measured size, one of them by label, or any number of parameters."""
    if size is None:
        return max(sizes)
    for n_params, label in sizes:
        if size == label:
            return n_params, label
    try:
        n_params = float(size)
    except ValueError:
        known = ", ".join(label for _, label in sizes)
        raise LawError(f"There is no size {size!r}.", f"Sizes: {known}; or a number of parameters.") from None
    if not n_params > 0:
        raise LawError(f"A model has a positive number of parameters, not {size}.", "For example --size 8.1e9.")
    return n_params, count(n_params)


def zero_shot(
    con: Connection,
    family: Family,
    role: str,
    points: Points,
    n_params: float,
    ptpp: float,
    qualities: dict[str, float],
) -> float | Law:
    """The loss of the unadapted model: as measured, else by the stored law of pretraining curves."""
    known = mean_known(points.zero_shot_loss[near(points.n_params, n_params) & near(points.ptpp, ptpp)])
    if not math.isnan(known):
        return known
    curves = [fit for fit in family.of(role) if is_curve(fit)]
    if not curves:
        raise LawError(
            f"The {role} loss of a model of {count(n_params)} parameters at P = {ptpp:g} before adaptation is unknown.",
            "Evaluate that model once, or fit chinchilla as well, which forecasts it: `odyssey fit --forms ...`.",
        )
    return read_law(con, min(curves, key=held_out_error), qualities)[0]


def is_curve(fit: FitRow) -> bool:
    """Whether the fit describes losses of base states by size and tokens."""
    return fit.form == "chinchilla"


def start_value(start: float | Law, n_params: float, ptpp: float) -> float:
    """A zero-shot loss as a number."""
    if not isinstance(start, Law):
        return start
    points = Points.from_columns(
        {"n_params": n_params, "adapt_tokens": ptpp * n_params, "ptpp": ptpp, "loss": math.nan}
    )
    return float(start.predict(points)[0])


def list_options(grid: Grid, goal: Goal) -> tuple[Option, ...]:
    """The feasible cell of every listed replay ratio that serves the goal best."""
    worth = grid.flops if goal == "cheapest" else grid.target_loss
    options = []
    for row in range(0, len(grid.replay_ratio), ROWS):
        columns = np.flatnonzero(grid.feasible[row])
        cell = grid.cell(row, int(columns[np.argmin(worth[row, columns])])) if len(columns) else None
        options.append(Option(round(float(grid.replay_ratio[row]), 6), cell))
    return tuple(options)


def tell_limits(limits: Limits, gain: float | None) -> tuple[str, ...]:
    """The limits in words; a gain that was asked for explains the target loss."""
    from_gain = f" ({gain:g} below zero-shot)" if gain is not None else ""
    parts = (
        (limits.forgetting, lambda v: f"forgetting ≤ {v:g} nats"),
        (limits.forgetting_share, lambda v: f"forgetting ≤ {v:.1%} of the base loss"),
        (limits.target_loss, lambda v: f"target loss ≤ {v:.4g} nats{from_gain}"),
        (limits.flops, lambda v: f"compute ≤ {count(v)}FLOP"),
        (limits.target_tokens, lambda v: f"domain text ≤ {count(v)} tokens"),
    )
    return tuple(word(value) for value, word in parts if value is not None)


def tell_answer(answer: Answer) -> tuple[str, ...]:
    """The answer in sentences."""
    if answer.model is None:
        return (answer.reason,)
    start = "forecast" if answer.model.forecast else "measured"
    model = (
        f"Model {answer.model.label}, P = {answer.model.ptpp:.3g}; before adaptation ({start}) target "
        f"{answer.model.target_zero_shot:.3f}, base {answer.model.base_zero_shot:.3f} nats/token."
    )
    limits = " and ".join(answer.limits) or "no limit"
    laws = f"Laws: {answer.target_form} (target), {answer.base_form} (base)."
    if answer.choice is None:
        return (f"Nothing in the grid meets {limits}.", *answer.shortfalls, model, laws, *answer.warnings)
    cell = answer.choice
    sure = "" if math.isnan(cell.probability) else f", feasible in {cell.probability:.0%} of the draws"
    found = (
        f"{GOALS[answer.goal]} with {limits}: ρ = {cell.replay_ratio:.3g}, ATPP = {cell.atpp:.3g} "
        f"({count(cell.flops)}FLOP){sure}; target {cell.target_loss:.3f}, forgetting {cell.forgetting:+.3f} nats/token."
    )
    found = found.replace("-", "−") if cell.forgetting < 0 else found
    return (found, model, laws, *tell_critical(answer.critical), *answer.warnings)


def tell_critical(critical: Sequence[Critical]) -> tuple[str, ...]:
    """The largest domain shares at three budgets."""
    if not critical:
        return ()
    shown = [critical[index] for index in sorted({0, len(critical) // 2, len(critical) - 1})]
    listed = ", ".join(f"{one.target_share:.0%} at ATPP {one.atpp:.3g}" for one in shown)
    return (f"Largest domain share within the limit on forgetting: {listed}.",)
