"""The adaptation that keeps within limits, by fitted laws: which replay ratio and budget, and the map around it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine.laws.errors import LawError
from engine.laws.mixtures import MixtureLaw, fit_mixture_law, largest_share
from engine.laws.planner import Cell, Goal, Limits, evaluate, forgetting_limit
from engine.laws.planner import Plan as Grid
from engine.laws.planner import plan as plan_grid
from engine.laws.points import Floats
from odyssey_tui.services.plan_axes import (
    BUDGET_STEPS,
    list_budgets,
    list_ratios,
    measured_values,
    rounded,
    search_ratios,
)
from odyssey_tui.services.plan_basis import Basis, Model, Source, read_source
from odyssey_tui.services.planning_words import tell_limits
from odyssey_tui.services.stored_laws import NO_FITS, NO_FITS_HINT, near

if TYPE_CHECKING:
    from store.workspace import Workspace

Problem = Literal["cheapest", "best", "limited", "pareto"]
PROBLEMS: dict[Problem, str] = {
    "cheapest": "Cheapest",
    "best": "Best target loss",
    "limited": "Best with all domain text",
    "pareto": "Best at one budget",
}
NO_LIMIT = Limits()
LISTED = 0.1
"""Replay ratios whose best cell is listed are this far apart."""


@dataclass(frozen=True)
class Asked:
    """What must hold, for which model, and what is wanted. None: taken from the points, or following from the rest."""

    limits: Limits = NO_LIMIT
    target_gain: float | None = None
    """The target loss must fall that far below its zero-shot value."""
    problem: Problem | None = None
    """Without: the cheapest where a target loss or gain is asked for, else the best target loss."""
    size: str | None = None
    ptpp: float | None = None
    atpp: float | None = None
    """The one budget of the problem ``pareto``."""

    @property
    def unlimited(self) -> bool:
        """Whether no limit on losses, compute or text is given."""
        limits = replace(self.limits, probability=None)
        return all(value is None for value in (*vars(limits).values(), self.target_gain))


@dataclass(frozen=True)
class Option:
    """The best cell at one replay ratio; None when no budget meets the limits."""

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
    goal: Problem = "cheapest"
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
    files: tuple[str, ...] = ()
    """Of the table whose points were fitted."""


@dataclass(frozen=True, eq=False)
class PlanMap:
    """The answer, and the grid of cells it was found in. ``measured``: where a state of this model was adapted."""

    answer: Answer
    asked: Asked
    basis: Basis
    grid: Grid
    measured: frozenset[tuple[int, int]]
    """(row, column)."""

    @property
    def choice(self) -> tuple[int, int] | None:
        """Row and column of the chosen cell."""
        cell = self.answer.choice
        return None if cell is None else self.find(cell.replay_ratio, cell.atpp)

    @property
    def front(self) -> frozenset[tuple[int, int]]:
        """Rows and columns of the Pareto front."""
        return frozenset(self.find(cell.replay_ratio, cell.atpp) for cell in self.answer.front)

    def find(self, replay_ratio: float, atpp: float) -> tuple[int, int]:
        """Row and column of the cell nearest to a replay ratio and budget."""
        row = int(np.argmin(np.abs(self.grid.replay_ratio - replay_ratio)))
        return row, int(np.argmin(np.abs(np.log(self.grid.atpp / atpp))))


def cheapest(
    workspace: Workspace,
    asked: Asked | None = None,
    *,
    domain: str | None = None,
    experiment: str | None = None,
) -> Answer:
    """Plan with the stored laws of a domain (the one fitted last, where None). Raises LawError where they cannot serve.

    Where no limit is given, those of the experiment that was fitted hold, else a forgetting of 0.05 nats.
    """
    source = read_source(workspace, domain, experiment)
    return Answer(reason=NO_FITS, hint=NO_FITS_HINT) if source is None else plan(source, asked or Asked()).answer


def plan(source: Source, asked: Asked) -> PlanMap:
    """``solve`` with the source's own limits where none is given."""
    return solve(source, with_limits(source, asked))


def with_limits(source: Source, asked: Asked) -> Asked:
    """What was asked, with the source's own limits where none is given."""
    if not asked.unlimited:
        return asked
    own = source.limits
    limits = replace(asked.limits, forgetting=own.forgetting, target_loss=own.target_loss)
    return replace(asked, limits=limits, target_gain=own.target_gain)


def solve(source: Source, asked: Asked) -> PlanMap:
    """The answer to what is asked of a model, and the map. Raises LawError where the laws cannot serve."""
    basis = source.basis(asked.size, asked.ptpp)
    model = basis.model
    gained = None if asked.target_gain is None else model.target_zero_shot - asked.target_gain
    wanted = [limit for limit in (asked.limits.target_loss, gained) if limit is not None]
    limits = replace(asked.limits, target_loss=min(wanted, default=None))
    problem = asked.problem or ("cheapest" if wanted else "best")
    goal: Goal = "cheapest" if problem == "cheapest" else "best"
    measured = measured_values(source.measured)
    candidates = list_candidates(basis, limits, problem, measured, asked.atpp)
    laws = (basis.target, basis.base, basis.stage, limits)
    ratios = list_ratios(basis.target, measured.replay_ratio)
    budgets = list_budgets(*basis.target.ranges["A"], measured.atpp)
    if problem == "pareto":
        budgets = np.unique(np.append(budgets, candidates[1][0]))
    grid = plan_grid(*laws, replay_ratio=ratios, atpp=budgets, goal=goal, candidates=candidates)
    answer = Answer(
        source.domain,
        problem,
        model,
        tell_limits(limits, asked.target_gain if limits.target_loss == gained else None),
        basis.target.form.name,
        basis.base.form.name,
        grid.choice,
        list_options(laws, candidates, goal),
        grid.shortfalls,
        (*([f"The fit is old. {source.stale}"] if source.stale else []), *grid.warnings),
        front_of(grid, limits, float(candidates[1][0]) if problem == "pareto" else None),
        *list_critical(laws, budgets, np.unique(candidates[0]), model),
        files=source.files,
    )
    return PlanMap(answer, replace(asked, problem=problem), basis, grid, find_measured(grid, source, model))


def list_candidates(
    basis: Basis, limits: Limits, problem: Problem, measured: Any, atpp: float | None
) -> tuple[Floats, Floats]:
    """Pairs of replay ratio and ATPP among which the answer is looked for.

    The cheapest and the best: all mixes, budgets over the measured range (of the cheapest over twice that). Limited
    domain text: D = D_target / (1 - rho), all of it used once (D-CPT, usage 2). The front: all mixes at one budget,
    that given, else the largest measured one within the compute. Raises LawError where a problem lacks its number.
    """
    law, n_params = basis.target, basis.stage.n_params
    low, high = law.ranges["A"]
    ratios = search_ratios(law, measured.replay_ratio)
    if problem == "limited":
        if limits.target_tokens is None:
            raise LawError(
                "To plan with all the domain text, say how much there is.",
                "--target-tokens 2e6; on screen: domain text.",
            )
        ratios = ratios[ratios < 1]
        return ratios, limits.target_tokens / ((1.0 - ratios) * n_params)
    if problem == "pareto":
        within = [a for a in measured.atpp if limits.flops is None or 6 * n_params**2 * a <= limits.flops * (1 + 1e-9)]
        budget = atpp or max(within, default=high if limits.flops is None else limits.flops / (6 * n_params**2))
        return ratios, np.full(len(ratios), float(budget))
    reach = 1.0 if problem == "best" else 2.0
    steps = max(2, round(BUDGET_STEPS * math.log2(max(reach * reach * high / low, 1.0))) + 1)
    within = [a for a in measured.atpp if low / reach <= a <= high * reach]
    inner = rounded(np.geomspace(low / reach, high * reach, steps))
    inner = inner[(inner >= low / reach) & (inner <= high * reach)]
    budgets = np.unique(np.concatenate([inner, within, [high] if problem == "best" else []]))
    rho, budget = (axis.ravel() for axis in np.meshgrid(ratios, budgets, indexing="ij"))
    return rho, budget


def find_measured(grid: Grid, source: Source, model: Model) -> frozenset[tuple[int, int]]:
    """Cells of the grid at which a state of this model was measured."""
    of_model = near(source.measured.n_params, model.n_params) & near(source.measured.ptpp, model.ptpp)
    points = source.measured.select(of_model)
    found = set()
    for rho, atpp in set(zip(points.replay_ratio.tolist(), points.atpp.tolist(), strict=True)):
        rows = np.flatnonzero(np.abs(grid.replay_ratio - rho) < 1e-3)
        columns = np.flatnonzero(near(grid.atpp, atpp))
        if len(rows) and len(columns):
            found.add((int(rows[0]), int(columns[np.argmin(np.abs(grid.atpp[columns] - atpp))])))
    return frozenset(found)


def front_of(grid: Grid, limits: Limits, budget: float | None) -> tuple[Cell, ...]:
    """Target loss against forgetting over the replay ratio, at one budget: that given, or that of the choice."""
    if budget is not None:
        return grid.pareto(math.inf, float(grid.atpp[np.argmin(np.abs(grid.atpp - budget))]))
    if grid.choice is not None:
        return grid.pareto(math.inf, grid.choice.atpp)
    most = limits.flops or math.inf
    within = grid.atpp[(grid.flops <= most * (1 + 1e-9)).any(axis=0)]
    return grid.pareto(most, float(within.max())) if len(within) else ()


def list_critical(
    laws: tuple[Any, ...], budgets: Floats, ratios: Floats, model: Model
) -> tuple[tuple[Critical, ...], MixtureLaw | None]:
    """Critical mixtures by budget, and the law through them; nothing without a limit on forgetting."""
    allowed = forgetting_limit(laws[-1], model.base_zero_shot)
    if allowed is None:
        return (), None
    rho, budget = (axis.ravel() for axis in np.meshgrid(ratios, budgets, indexing="ij"))
    cells = evaluate(*laws, rho, budget, draws=False)
    forgetting, target_loss = (values.reshape(len(ratios), -1) for values in (cells.forgetting, cells.target_loss))
    found = []
    for index, one in enumerate(budgets.tolist()):
        share = largest_share(1.0 - ratios, forgetting[:, index], allowed)
        reached = np.interp(1.0 - share, ratios, target_loss[:, index])
        if math.isfinite(share) and reached < model.target_zero_shot:
            found.append(Critical(one, one * model.n_params, share))
    # A share at the end of the range is no mixture at which anything becomes critical.
    inside = [one for one in found if 1e-6 < 1.0 - one.target_share < ratios[-1] - 1e-6]
    try:
        law = fit_mixture_law([one.adapt_tokens for one in inside], [one.target_share for one in inside])
    except LawError:
        law = None
    return tuple(found), law


def list_options(laws: tuple[Any, ...], candidates: tuple[Floats, Floats], goal: Goal) -> tuple[Option, ...]:
    """The feasible candidate of every listed replay ratio that serves the goal best."""
    listed = np.abs(candidates[0] / LISTED - np.round(candidates[0] / LISTED)) < 1e-6
    rho, atpp = candidates[0][listed], candidates[1][listed]
    least = laws[-1].probability
    searched = evaluate(*laws, rho, atpp, draws=least is not None)
    sure = searched.feasible if least is None else searched.feasible & (searched.probability >= least)
    worth = searched.flops if goal == "cheapest" else searched.target_loss
    best: dict[float, int | None] = {}
    for ratio in np.unique(rho).tolist():
        here = np.flatnonzero((rho == ratio) & sure)
        best[round(ratio, 6)] = int(here[np.argmin(worth[here])]) if len(here) else None
    at = np.array([index for index in best.values() if index is not None], dtype=int)
    shown = evaluate(*laws, rho[at], atpp[at]) if len(at) else None
    cells = iter(shown.cell(index) for index in range(len(at))) if shown is not None else iter(())
    return tuple(Option(ratio, next(cells) if index is not None else None) for ratio, index in best.items())
