"""Planning: the cheapest mix and budget that meet limits on the target loss, on forgetting and on compute. numpy only.

Cells (replay ratio, ATPP) are evaluated with two laws, one for the target and one for the base loss; the bootstrap
draws give the probability that a cell is feasible. Compute is C = 6 N D.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.laws.errors import LawError
from engine.laws.forecast import Setting, points_at
from engine.laws.law import Law
from engine.laws.plan_words import tell_shortfalls, tell_stretch, tell_unsure
from engine.laws.points import Floats, Points

Goal = Literal["cheapest", "best"]
CELLS = 41
"""Replay ratios and budgets of the default grid."""
AT_ONCE = 256
"""Cells whose draws are made together while a sure one is looked for."""


@dataclass(frozen=True)
class Stage:
    """The model to adapt. A zero-shot loss may be a law of pretraining curves (N, D = P N): it is then forecast, draws
    included."""

    n_params: float
    ptpp: float
    target_zero_shot: float | Law
    base_zero_shot: float | Law


@dataclass(frozen=True)
class Limits:
    """What must hold; None means no limit. Forgetting is L_base - L_base0."""

    forgetting: float | None = None
    """Nats per token."""
    forgetting_share: float | None = None
    """As a share of L_base0: 0.03 allows a rise of 3 %."""
    target_loss: float | None = None
    flops: float | None = None
    target_tokens: float | None = None
    """Tokens of domain text that exist: D (1 - rho) may not exceed them."""
    probability: float | None = None
    """Least share of the bootstrap draws in which the other limits hold at the answer: a chance constraint."""


@dataclass(frozen=True)
class Cell:
    """One point of the grid."""

    replay_ratio: float
    atpp: float
    flops: float
    target_loss: float
    base_loss: float
    forgetting: float
    probability: float
    """Share of the bootstrap draws in which all limits hold; NaN without draws."""


@dataclass(frozen=True)
class Plan:
    """The grid (replay_ratio x atpp) and the answer. Arrays have shape (len(replay_ratio), len(atpp))."""

    goal: Goal
    replay_ratio: Floats
    atpp: Floats
    flops: Floats
    target_loss: Floats
    base_loss: Floats
    forgetting: Floats
    forgetting_limit: float | None
    feasible: NDArray[np.bool_]
    probability: Floats
    choice: Cell | None
    shortfalls: tuple[str, ...]
    """When no cell is feasible: which limit binds and by how much."""
    warnings: tuple[str, ...]
    reach: tuple[dict[str, float], ...] = ()
    """By ATPP, how far the laws are stretched there: factors beyond the fitted ranges, by symbol, where above 1."""

    def cell(self, row: int, column: int) -> Cell:
        """The cell at ``replay_ratio[row]``, ``atpp[column]``."""
        at = (row, column)
        return Cell(
            replay_ratio=float(self.replay_ratio[row]),
            atpp=float(self.atpp[column]),
            flops=float(self.flops[at]),
            target_loss=float(self.target_loss[at]),
            base_loss=float(self.base_loss[at]),
            forgetting=float(self.forgetting[at]),
            probability=float(self.probability[at]),
        )

    def pareto(self, flops: float, atpp: float | None = None) -> tuple[Cell, ...]:
        """Cells within ``flops`` (of one budget ``atpp``) that none beats on both target loss and forgetting, by
        ascending forgetting."""
        allowed = self.flops <= flops * (1 + 1e-9)
        rows, columns = np.nonzero(allowed if atpp is None else allowed & np.isclose(self.atpp, atpp))
        order = np.lexsort((self.target_loss[rows, columns], self.forgetting[rows, columns]))
        front, lowest = [], np.inf
        for position in order:
            if self.target_loss[rows[position], columns[position]] < lowest:
                lowest = self.target_loss[rows[position], columns[position]]
                front.append(self.cell(rows[position], columns[position]))
        return tuple(front)


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells one after the other, every array of shape (n,)."""

    replay_ratio: Floats
    atpp: Floats
    flops: Floats
    target_loss: Floats
    base_loss: Floats
    forgetting: Floats
    feasible: NDArray[np.bool_]
    probability: Floats
    """NaN without draws."""
    excesses: dict[str, Floats]
    """By limit, how far each cell is beyond it (<= 0 is within), in the limit's unit."""

    def cell(self, index: int) -> Cell:
        """One of them."""
        return Cell(
            *(float(getattr(self, name)[index]) for name in ("replay_ratio", "atpp", "flops", "target_loss")),
            *(float(getattr(self, name)[index]) for name in ("base_loss", "forgetting", "probability")),
        )

    def ranked(self, goal: Goal) -> NDArray[np.int_]:
        """The feasible cells, those first that serve the goal best; of equals the one with the lower other quantity."""
        order = (self.flops, self.target_loss) if goal == "cheapest" else (self.target_loss, self.flops)
        ranked = np.lexsort((order[1][self.feasible], order[0][self.feasible]))
        return np.flatnonzero(self.feasible)[ranked]

    def best(self, goal: Goal) -> int | None:
        """The first of ``ranked``."""
        ranked = self.ranked(goal)
        return int(ranked[0]) if len(ranked) else None


def plan(
    target: Law,
    base: Law,
    stage: Stage,
    limits: Limits,
    *,
    replay_ratio: Sequence[float] | Floats | None = None,
    atpp: Sequence[float] | Floats | None = None,
    goal: Goal = "cheapest",
    candidates: tuple[Floats, Floats] | None = None,
) -> Plan:
    """The cheapest feasible cell (or, with ``goal="best"``, the feasible one with the lowest target loss).

    The default grid spans replay 0 to 0.9 and twice the fitted ATPP range. The answer is looked for among
    ``candidates``, pairs (replay ratios, ATPP) of any shape (n,), and its row and column then join the grid; without
    any, among the grid's cells. Raises LawError when a law cannot serve: limits on forgetting need a base law that is
    exact at D = 0.
    """
    ratios = np.linspace(0.0, 0.9, CELLS) if replay_ratio is None else np.asarray(replay_ratio, dtype=float)
    budgets = _default_atpp(target) if atpp is None else np.asarray(atpp, dtype=float)
    if not (len(ratios) and len(budgets)):
        raise LawError("A plan needs replay ratios within [0, 1] and positive ATPP.")
    searched = at = None
    if candidates is not None:
        searched = evaluate(target, base, stage, limits, *candidates, draws=False)
        at = _surest(searched, target, base, stage, limits, goal)
        if at is not None:
            ratios, budgets = _join(ratios, searched.replay_ratio[at]), _join(budgets, searched.atpp[at])
    rho, budget = (axis.ravel() for axis in np.meshgrid(ratios, budgets, indexing="ij"))
    grid = evaluate(target, base, stage, limits, rho, budget)
    if searched is None:
        searched, at = grid, _surest(grid, target, base, stage, limits, goal)
    nearest = at if at is not None else _nearest(searched)
    closest = (float(searched.replay_ratio[nearest]), float(searched.atpp[nearest]))
    shape = (len(ratios), len(budgets))
    start = grid.base_loss[0] - grid.forgetting[0]
    allowed = forgetting_limit(limits, start)
    reach = tuple(_reach(target, base, stage, value) for value in budgets.tolist())
    result = Plan(
        goal=goal,
        replay_ratio=ratios,
        atpp=budgets,
        flops=grid.flops.reshape(shape),
        target_loss=grid.target_loss.reshape(shape),
        base_loss=grid.base_loss.reshape(shape),
        forgetting=grid.forgetting.reshape(shape),
        forgetting_limit=allowed,
        feasible=grid.feasible.reshape(shape),
        probability=grid.probability.reshape(shape),
        choice=None,
        shortfalls=() if at is not None else _shortfalls(searched, grid, limits),
        warnings=tell_stretch({"target": target, "base": base}, _stretch(target, base, stage, closest[1]), closest[0]),
        reach=reach,
    )
    if at is None:
        return result
    row, column = int(np.argmin(np.abs(ratios - closest[0]))), int(np.argmin(np.abs(budgets - closest[1])))
    at_edge = len(budgets) > 1 and column in (0, len(budgets) - 1)
    warnings = (*result.warnings, *(("The answer lies at the edge of the ATPP grid: widen it.",) if at_edge else ()))
    return replace(result, choice=result.cell(row, column), warnings=warnings)


def evaluate(
    target: Law, base: Law, stage: Stage, limits: Limits, replay_ratio: Floats, atpp: Floats, *, draws: bool = True
) -> Cells:
    """What the laws say of cells, given as arrays (n,); without ``draws`` no probability, which is all that takes time.

    Raises LawError as ``plan``.
    """
    _check(target, base, limits)
    rho, budget = np.asarray(replay_ratio, dtype=float), np.asarray(atpp, dtype=float)
    if not ((rho >= 0).all() and (rho <= 1).all() and (budget > 0).all()):
        raise LawError("A plan needs replay ratios within [0, 1] and positive ATPP.")
    target_loss, target_draws, _ = losses_at(target, stage, stage.target_zero_shot, rho, budget, draws)
    base_loss, base_draws, (start, start_draws) = losses_at(base, stage, stage.base_zero_shot, rho, budget, draws)
    flops = 6.0 * stage.n_params**2 * budget
    excesses = _excesses(limits, start, target_loss, base_loss - start, flops, rho, budget * stage.n_params)
    count = min(len(target_draws), len(base_draws))
    probability = np.full(len(rho), np.nan)
    if count:
        rise = base_draws[:count] - start_draws[:count]
        drawn = _excesses(limits, start_draws[:count], target_draws[:count], rise, flops, rho, budget * stage.n_params)
        probability = _all_met(drawn, (count, len(rho))).mean(axis=0)
    met = _all_met(excesses, rho.shape)
    return Cells(rho, budget, flops, target_loss, base_loss, base_loss - start, met, probability, excesses)


def _surest(cells: Cells, target: Law, base: Law, stage: Stage, limits: Limits, goal: Goal) -> int | None:
    """The first cell, in the order of the goal, whose limits hold in as many draws as asked for."""
    ranked = cells.ranked(goal)
    if limits.probability is None:
        return int(ranked[0]) if len(ranked) else None
    for start in range(0, len(ranked), AT_ONCE):
        some = ranked[start : start + AT_ONCE]
        drawn = evaluate(target, base, stage, limits, cells.replay_ratio[some], cells.atpp[some])
        if np.isnan(drawn.probability).any():
            raise LawError(
                "A probability needs bootstrap draws, and a law has none.", "Fit again with more: --bootstrap 200."
            )
        sure = np.flatnonzero(drawn.probability >= limits.probability)
        if len(sure):
            return int(some[sure[0]])
    return None


def _shortfalls(searched: Cells, grid: Cells, limits: Limits) -> tuple[str, ...]:
    """Why there is no answer: a limit that binds, or that none is sure enough."""
    if not searched.feasible.any():
        return tell_shortfalls(searched.excesses, searched.replay_ratio, searched.atpp)
    return (tell_unsure(grid.probability, grid.replay_ratio, grid.atpp, limits.probability or 0.0),)


def _join(values: Floats, one: float) -> Floats:
    """``values`` with ``one`` among them, ascending."""
    known = np.isclose(values, one, rtol=1e-6, atol=1e-9)
    return np.sort(np.append(values[~known], one))


def _nearest(cells: Cells) -> int:
    """The cell that fails the fewest limits, of those the one with the lowest target loss."""
    failed = sum((excess > 0).astype(int) for excess in cells.excesses.values())
    return int(np.lexsort((cells.target_loss, failed))[0])


def _reach(target: Law, base: Law, stage: Stage, atpp: float) -> dict[str, float]:
    """Of both laws together, factors beyond the fitted ranges at a budget."""
    reach: dict[str, float] = {}
    for stretched in _stretch(target, base, stage, atpp).values():
        for symbol, factor in stretched.items():
            reach[symbol] = max(factor, reach.get(symbol, 1.0))
    return reach


def _stretch(target: Law, base: Law, stage: Stage, atpp: float) -> dict[str, dict[str, float]]:
    """By role, factors beyond the fitted ranges at a budget."""
    found = {}
    for law, zero_shot in ((target, stage.target_zero_shot), (base, stage.base_zero_shot)):
        known = float("nan") if isinstance(zero_shot, Law) else zero_shot
        setting = Setting(stage.n_params, stage.ptpp, 0.0, atpp=atpp, zero_shot_loss=known)
        found[law.role] = law.extrapolation(points_at(law.role, setting))
    return found


def _all_met(excesses: Mapping[str, Floats], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where no limit is exceeded."""
    met = np.ones(shape, dtype=bool)
    for excess in excesses.values():
        met &= excess <= 0
    return met


def forgetting_limit(limits: Limits, base_zero_shot: float) -> float | None:
    """The tighter of the absolute and the relative limit on forgetting, in nats; None without one."""
    given = [limits.forgetting] if limits.forgetting is not None else []
    if limits.forgetting_share is not None:
        given.append(limits.forgetting_share * base_zero_shot)
    return min(given) if given else None


def _check(target: Law, base: Law, limits: Limits) -> None:
    if target.role != "target" or base.role != "base":
        raise LawError(f"A plan needs a target law and a base law, not {target.role} and {base.role}.")
    if (limits.forgetting is not None or limits.forgetting_share is not None) and not base.form.exact_at_zero:
        raise LawError(
            f"{base.form.name} is not exact at D = 0, so it cannot limit forgetting.",
            "Fit replay_odds, zero_shot or forgetting_pinned to the base loss.",
        )


def _default_atpp(law: Law) -> Floats:
    low, high = law.ranges["A"]
    return np.geomspace(low / 2, high * 2, CELLS)


def losses_at(
    law: Law, stage: Stage, zero_shot: float | Law, rho: Floats, atpp: Floats, draws: bool = True
) -> tuple[Floats, Floats, tuple[float, Floats]]:
    """Losses (n,), draws (B, n) and the zero-shot loss with its draws (B, 1), over cells; B = 0 without ``draws``."""
    law = law if draws else replace(law, draws=law.draws[:0])
    if isinstance(zero_shot, Law):
        pretrained = Points.from_columns(
            {
                "n_params": stage.n_params,
                "adapt_tokens": stage.ptpp * stage.n_params,
                "ptpp": stage.ptpp,
                "loss": np.nan,
            }
        )
        zero_shot.require_inside(pretrained)
        start, start_draws = float(zero_shot.predict(pretrained)[0]), zero_shot.predict_draws(pretrained)
        count = min(len(start_draws), len(law.draws))
        start_draws = start_draws[:count]
    else:
        start, count = float(zero_shot), len(law.draws)
        start_draws = np.full((count, 1), start)
    # Q of a checkpoint is its measured base loss; a forecast of it would bring an error that no draw carries.
    quality = float("nan") if isinstance(stage.base_zero_shot, Law) else float(stage.base_zero_shot)
    setting = Setting(stage.n_params, stage.ptpp, float("nan"), zero_shot_loss=start, quality=quality)
    points = points_at(law.role, setting, replay_ratio=rho, atpp=atpp)
    unknown = [column for column in law.form.needs if not np.isfinite(getattr(points, column)).all()]
    if unknown:
        known = {"quality": "the model's measured zero-shot loss on the base corpus"}
        raise LawError(
            f"{law.form.name} needs {', '.join(known.get(column, column) for column in unknown)} to plan.",
            "Give it, or use another form.",
        )
    law.require_inside(points)
    return law.predict(points), law.predict_draws(points, start_draws)[:count], (start, start_draws)


def _excesses(
    limits: Limits,
    start: float | Floats,
    target_loss: Floats,
    forgetting: Floats,
    flops: Floats,
    rho: Floats,
    tokens: Floats,
) -> dict[str, Floats]:
    """By limit, how far each cell is beyond it (<= 0 is within), in the limit's unit."""
    given = {
        "forgetting": (forgetting, limits.forgetting),
        "forgetting share": (
            forgetting / start,
            limits.forgetting_share,
        ),
        "target loss": (target_loss, limits.target_loss),
        "compute": (flops, limits.flops),
        "domain tokens": ((1.0 - rho) * tokens, limits.target_tokens),
    }
    return {name: value - limit for name, (value, limit) in given.items() if limit is not None}
