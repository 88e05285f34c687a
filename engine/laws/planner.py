"""Planning: the cheapest mix and budget that meet limits on the target loss, on forgetting and on compute. numpy only.

A grid over the replay ratio and ATPP is evaluated with two laws, one for the target and one for the base loss; the
bootstrap draws give the probability that a cell is feasible. Compute is C = 6 N D.
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
from engine.laws.mixtures import largest_share
from engine.laws.points import Floats, Points

Goal = Literal["cheapest", "best"]
CELLS = 41
"""Replay ratios and budgets of the default grid."""


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
    critical_replay: Floats
    """By ATPP, the smallest replay ratio that meets the forgetting limit, interpolated between rows; NaN where none
    does."""
    shortfalls: tuple[str, ...]
    """When no cell is feasible: which limit binds and by how much."""
    warnings: tuple[str, ...]

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


def plan(
    target: Law,
    base: Law,
    stage: Stage,
    limits: Limits,
    *,
    replay_ratio: Sequence[float] | Floats | None = None,
    atpp: Sequence[float] | Floats | None = None,
    goal: Goal = "cheapest",
) -> Plan:
    """The cheapest feasible cell (or, with ``goal="best"``, the feasible one with the lowest target loss).

    The default grid spans replay 0 to 0.9 and twice the fitted ATPP range. Raises LawError when a law cannot serve:
    limits on forgetting need a base law that is exact at D = 0.
    """
    _check(target, base, limits)
    ratios = np.linspace(0.0, 0.9, CELLS) if replay_ratio is None else np.asarray(replay_ratio, dtype=float)
    budgets = _default_atpp(target) if atpp is None else np.asarray(atpp, dtype=float)
    if not (len(ratios) and len(budgets) and (ratios >= 0).all() and (ratios <= 1).all() and (budgets > 0).all()):
        raise LawError("A plan needs replay ratios within [0, 1] and positive ATPP.")
    shape = (len(ratios), len(budgets))
    rho, budget = (axis.ravel() for axis in np.meshgrid(ratios, budgets, indexing="ij"))
    target_loss, target_draws, _ = _losses(target, stage, stage.target_zero_shot, rho, budget)
    base_loss, base_draws, (start, start_draws) = _losses(base, stage, stage.base_zero_shot, rho, budget)
    flops = 6.0 * stage.n_params**2 * budget
    excesses = _excesses(limits, start, target_loss, base_loss - start, flops, rho, budget * stage.n_params)
    feasible = _all_met(excesses, rho.shape)
    count = min(len(target_draws), len(base_draws))
    probability = np.full(len(rho), np.nan)
    if count:
        rise = base_draws[:count] - start_draws[:count]
        drawn = _excesses(limits, start_draws[:count], target_draws[:count], rise, flops, rho, budget * stage.n_params)
        probability = _all_met(drawn, (count, len(rho))).mean(axis=0)
    allowed = forgetting_limit(limits, start)
    forgetting = (base_loss - start).reshape(shape)
    result = Plan(
        goal=goal,
        replay_ratio=ratios,
        atpp=budgets,
        flops=flops.reshape(shape),
        target_loss=target_loss.reshape(shape),
        base_loss=base_loss.reshape(shape),
        forgetting=forgetting,
        forgetting_limit=allowed,
        feasible=feasible.reshape(shape),
        probability=probability.reshape(shape),
        choice=None,
        critical_replay=_critical_replay(ratios, forgetting, allowed),
        shortfalls=() if feasible.any() else _shortfalls(excesses, rho, budget),
        warnings=(),
    )
    if not feasible.any():
        failed = sum((excess > 0).astype(int) for excess in excesses.values())
        nearest = np.lexsort((target_loss, failed))[0]
        return replace(result, warnings=_warnings(target, base, stage, result, *divmod(int(nearest), len(budgets))))
    first, second = (flops, target_loss) if goal == "cheapest" else (target_loss, flops)
    at = np.flatnonzero(feasible)[np.lexsort((second[feasible], first[feasible]))[0]]
    row, column = divmod(int(at), len(budgets))
    warnings = _warnings(target, base, stage, result, row, column)
    return replace(result, choice=result.cell(row, column), warnings=warnings)


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
            "Fit zero_shot or forgetting_pinned to the base loss.",
        )


def _default_atpp(law: Law) -> Floats:
    low, high = law.ranges["A"]
    return np.geomspace(low / 2, high * 2, CELLS)


def _losses(
    law: Law, stage: Stage, zero_shot: float | Law, rho: Floats, atpp: Floats
) -> tuple[Floats, Floats, tuple[float, Floats]]:
    """Losses (n,), draws (B, n) and the zero-shot loss with its draws (B, 1), over the grid's cells."""
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
    setting = Setting(stage.n_params, stage.ptpp, float("nan"), zero_shot_loss=start)
    points = points_at(law.role, setting, replay_ratio=rho, atpp=atpp)
    unknown = [column for column in law.form.needs if not np.isfinite(getattr(points, column)).all()]
    if unknown:
        raise LawError(
            f"{law.form.name} needs {', '.join(unknown)} of the model to plan.", "Give it, or use another form."
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


UNITS = {
    "forgetting": " nats",
    "forgetting share": " of L0",
    "target loss": " nats",
    "compute": " FLOPs",
    "domain tokens": " tokens",
}


def _shortfalls(excesses: dict[str, Floats], rho: Floats, atpp: Floats) -> tuple[str, ...]:
    sentences = []
    for name, excess in excesses.items():
        others = [other <= 0 for key, other in excesses.items() if key != name]
        met = np.all(others, axis=0) if others else np.ones(len(excess), dtype=bool)
        if not met.any():
            continue
        at = np.flatnonzero(met)[np.argmin(excess[met])]
        alone = " on its own" if excess.min() > 0 else " together with the others"
        sentences.append(
            f"The limit on {name} cannot be met{alone}: the nearest cell (replay {rho[at]:.3g}, ATPP {atpp[at]:.3g}) "
            f"exceeds it by {excess[at]:.3g}{UNITS[name]}."
        )
    if not sentences:
        unreachable = [name for name, excess in excesses.items() if excess.min() > 0]
        sentences.append(
            f"Several limits fail at once ({', '.join(unreachable)} each on its own): relax more than one of them."
            if unreachable
            else "No cell meets even all limits but one: relax more than one of them."
        )
    return tuple(sentences)


def _critical_replay(ratios: Floats, forgetting: Floats, allowed: float | None) -> Floats:
    if allowed is None:
        return np.full(forgetting.shape[1], np.nan)
    return np.array([1.0 - largest_share(1.0 - ratios, column, allowed) for column in forgetting.T])


def _warnings(target: Law, base: Law, stage: Stage, result: Plan, row: int, column: int) -> tuple[str, ...]:
    """What the laws are stretched to at a cell: the chosen one, or the one that fails the fewest limits."""
    cell = result.cell(row, column)
    warnings: list[str] = []
    stretched: dict[str, list[str]] = {}
    for law, zero_shot in ((target, stage.target_zero_shot), (base, stage.base_zero_shot)):
        known = float("nan") if isinstance(zero_shot, Law) else zero_shot
        setting = Setting(stage.n_params, stage.ptpp, cell.replay_ratio, atpp=cell.atpp, zero_shot_loss=known)
        for symbol, factor in law.extrapolation(points_at(law.role, setting)).items():
            stretched.setdefault(f"{symbol} is {factor:.3g}×", []).append(law.role)
        low, high = law.ranges["rho"]
        if not low - 1e-9 <= cell.replay_ratio <= high + 1e-9:
            warnings.append(
                f"Replay {cell.replay_ratio:.3g} is outside the fitted {low:.3g} to {high:.3g} ({law.role} law)."
            )
        for symbol, name in (("P", "PTPP"), ("A", "ATPP")):
            if symbol in law.ranges and law.ranges[symbol][0] == law.ranges[symbol][1]:
                warnings.append(
                    f"The {law.role} law was fitted on a single {name}: how the loss depends on it is a guess."
                )
    beyond = [f"{what} beyond the points of the {' and '.join(roles)} law" for what, roles in stretched.items()]
    if beyond:
        warnings.insert(0, f"Extrapolated: {'; '.join(beyond)}.")
    if result.feasible.any() and len(result.atpp) > 1 and column in (0, len(result.atpp) - 1):
        warnings.append("The answer lies at the edge of the ATPP grid: widen it.")
    return tuple(dict.fromkeys(warnings))
