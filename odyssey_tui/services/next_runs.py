"""Which runs to make next: adaptations not measured yet, by how much they would tell about one cell of a plan."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.laws.errors import LawError
from engine.laws.forecast import Setting, points_at
from engine.laws.law import Law
from engine.laws.next_run import Forecasts, Noise, rank_runs
from engine.laws.planner import losses_at
from odyssey_tui.services.format import count, duration
from odyssey_tui.services.plan_axes import measured_values
from odyssey_tui.services.plan_queue import Wanted
from odyssey_tui.services.stored_laws import near

if TYPE_CHECKING:
    from engine.laws.points import Points
    from odyssey_tui.services.plan import PlanMap
    from odyssey_tui.services.plan_basis import Source
    from store.workspace import Workspace

Rate = Callable[[float], "float | None"]
"""Training FLOPs a second of a model of N parameters; None where nothing is known."""
State = tuple[float, float, float, float]
"""N, PTPP, replay ratio, ATPP."""


@dataclass(frozen=True)
class NextRun:
    """An adaptation to make, given that those before it in the list are made. Losses in nats per token."""

    size: str
    n_params: float
    ptpp: float
    replay_ratio: float
    atpp: tuple[float, ...]
    """Budgets along the trajectory that are not measured yet."""
    adapt_tokens: float
    flops: float
    seconds: float | None
    target_before: float
    target_after: float
    base_before: float
    base_after: float
    """Standard deviations of the two forecasts at the goal, before and after its losses are known."""
    fall: float
    """Expected fall of their variances, as a share of the present ones, averaged."""
    worth: float
    """``fall`` per hour, or per 1e15 FLOPs where the speed is not known."""


@dataclass(frozen=True)
class NextRuns:
    """The runs in order, for the forecast at ``replay_ratio`` and ``atpp`` of the plan's model."""

    domain: str
    model: str
    ptpp: float
    replay_ratio: float
    atpp: float
    per: str
    """What ``worth`` is per: ``hour`` or ``PFLOP``."""
    runs: tuple[NextRun, ...]
    candidates: int
    notes: tuple[str, ...]
    """Which candidates were left out, and why."""
    files: tuple[str, ...] = ()


def next_runs(
    source: Source, found: PlanMap, replay_ratio: float, atpp: float, number: int, rate: Rate | None = None
) -> NextRuns:
    """The ``number`` runs worth most for the forecasts at a mix and budget of the plan's model.

    Candidates are adaptations of the base states there are, with replay ratios measured, half-way between those and
    the goal's, to the budgets measured and the goal's. Raises LawError where the laws have too few draws, or nothing is
    left to run.
    """
    model = found.basis.model
    trajectories, left_out = list_trajectories(source, replay_ratio, atpp)
    states = list(dict.fromkeys(state for states in trajectories for state in states))
    usable = {role: usable_states(source, role, states) for role in ("target", "base")}
    known = usable["target"] & usable["base"]
    kept = [states for states in trajectories if any(state in known for state in states)]
    kept = [tuple(state for state in states if state in known) for states in kept]
    if not kept:
        raise LawError("Nothing is left to run of the states there are.", " ".join(left_out) or "Add a size or a PTPP.")
    shown = sorted({state for states in kept for state in states})
    position = {state: index for index, state in enumerate(shown)}
    flops = np.array([6.0 * states[-1][0] ** 2 * states[-1][3] for states in kept])
    rates = [rate(states[-1][0]) if rate else None for states in kept]
    seconds = [None if speed is None else work / speed for speed, work in zip(rates, flops.tolist(), strict=True)]
    timed = all(value is not None for value in seconds)
    costs = np.array(seconds, dtype=float) / 3600 if timed else flops / 1e15
    forecasts = {role: forecast_states(source, found, role, replay_ratio, atpp, shown) for role in ("target", "base")}
    levels = {role: math.exp(float(np.median(forecast.goal))) for role, forecast in forecasts.items()}
    columns = [[position[state] for state in states] for states in kept]
    runs = []
    for choice in rank_runs(forecasts, columns, costs, number):
        n_params, ptpp, rho, _ = kept[choice.run][-1]
        size = next((label for known_size, label in source.sizes if near(np.array([n_params]), known_size)[0]), "")
        runs.append(
            NextRun(
                size or count(n_params),
                n_params,
                ptpp,
                rho,
                tuple(state[3] for state in kept[choice.run]),
                n_params * kept[choice.run][-1][3],
                float(flops[choice.run]),
                seconds[choice.run],
                *(levels["target"] * sd["target"] for sd in (choice.before, choice.after)),
                *(levels["base"] * sd["base"] for sd in (choice.before, choice.after)),
                choice.fall,
                choice.worth,
            )
        )
    refused = len(trajectories) - len(kept)
    notes = (*left_out, *([f"{refused} candidates that the laws cannot judge are left out."] if refused else []))
    return NextRuns(
        source.domain,
        model.label,
        model.ptpp,
        replay_ratio,
        atpp,
        "hour" if timed else "PFLOP",
        tuple(runs),
        len(kept),
        notes,
        source.files,
    )


def next_runs_at(
    workspace: Workspace, domain: str, n_params: float, ptpp: float, replay_ratio: float, atpp: float, number: int
) -> tuple[NextRuns, str | None]:
    """``next_runs`` by a domain's stored laws, and the experiment that they would belong to."""
    from odyssey_tui.services.plan import Asked, plan
    from odyssey_tui.services.plan_basis import read_source
    from odyssey_tui.services.stored_laws import NO_FITS, NO_FITS_HINT

    source = read_source(workspace, domain)
    if source is None:
        raise LawError(NO_FITS, NO_FITS_HINT)
    found = plan(source, Asked(size=f"{n_params:.0f}", ptpp=ptpp))
    return next_runs(source, found, replay_ratio, atpp, number, read_rate(workspace)), source.experiment


def list_trajectories(
    source: Source, replay_ratio: float, atpp: float
) -> tuple[list[tuple[State, ...]], tuple[str, ...]]:
    """Of every candidate the states that would be new, by ascending budget; and what was left out."""
    values = measured_values(source.measured)
    between = [round((one + other) / 2, 4) for one, other in itertools.pairwise(values.replay_ratio)]
    ratios = sorted({*values.replay_ratio, *between, round(replay_ratio, 5)})
    budgets = sorted({*values.atpp, *([] if any(near(np.array(values.atpp), atpp)) else [atpp])})
    points = source.measured
    found, done = [], 0
    for n_params, ptpp in source.states:
        here = near(points.n_params, n_params) & near(points.ptpp, ptpp)
        for rho in ratios:
            there = points.atpp[here & (np.abs(points.replay_ratio - rho) < 1e-3)]
            new = [budget for budget in budgets if not near(there, budget).any()]
            ends = [tuple((n_params, ptpp, rho, budget) for budget in new[:end]) for end in range(1, len(new) + 1)]
            found += ends
            done += not ends
    notes = (f"{done} trajectories are measured already.",) if done else ()
    return found, notes


def usable_states(source: Source, role: str, states: Sequence[State]) -> set[State]:
    """States that the law of a role can predict: what it needs of their base state was measured, and they do not leave
    an axis of which it knows one value."""
    law = source.target if role == "target" else source.base
    points = points_of(source, law, states)
    known = np.ones(len(states), dtype=bool)
    for needed in law.form.needs:
        known &= np.isfinite(getattr(points, needed))
    usable = set()
    for index in np.flatnonzero(known).tolist():
        try:
            law.require_inside(points.select(np.array([index])))
        except LawError:
            continue
        usable.add(states[index])
    return usable


def points_of(source: Source, law: Law, states: Sequence[State]) -> Points:
    """States as points of a law, with the losses of their base states before adaptation where those were measured."""
    n_params, ptpp, rho, atpp = (np.array(column) for column in zip(*states, strict=True))
    pairs = dict.fromkeys(state[:2] for state in states)
    starts = {pair: measured_start(source, law.role, *pair) for pair in pairs}
    qualities = {pair: measured_start(source, "base", *pair) for pair in pairs}
    return points_at(
        law.role,
        Setting(math.nan, math.nan, math.nan),
        n_params=n_params,
        ptpp=ptpp,
        replay_ratio=rho,
        atpp=atpp,
        zero_shot_loss=np.array([starts[state[:2]] for state in states]),
        quality=np.array([qualities[state[:2]] for state in states]),
    )


def measured_start(source: Source, role: str, n_params: float, ptpp: float) -> float:
    """The loss of a base state before adaptation, NaN where it was not measured."""
    try:
        start = source.start(role, n_params, ptpp)
    except LawError:
        return math.nan
    return math.nan if isinstance(start, Law) else start


def forecast_states(
    source: Source, found: PlanMap, role: str, replay_ratio: float, atpp: float, states: Sequence[State]
) -> Forecasts:
    """Draws of a law at the goal and at states."""
    law = source.target if role == "target" else source.base
    stage = found.basis.stage
    start = stage.target_zero_shot if role == "target" else stage.base_zero_shot
    _, goal, _ = losses_at(law, stage, start, np.array([replay_ratio]), np.array([atpp]))
    drawn = law.predict_draws(points_of(source, law, states))[: len(goal)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return Forecasts(np.log(goal[:, 0]), np.log(drawn), Noise.of(law, source.fitted[role]))


def wanted(runs: NextRuns, run: NextRun) -> Wanted:
    """The run as something to queue."""
    return Wanted(runs.domain, run.n_params, run.size, run.ptpp, run.replay_ratio, run.atpp)


def read_rate(workspace: Workspace) -> Rate:
    """How fast this machine adapted models of a size, or one within a factor of three."""
    from odyssey_tui.services.timing import NEAR, read_speeds

    speeds = [speed for speed in read_speeds(workspace) if speed.kind == "adapt" and speed.n_params and speed.flops > 0]

    def rate(n_params: float) -> float | None:
        like = [s for s in speeds if s.n_params and abs(math.log(s.n_params / n_params)) <= math.log(NEAR)]
        if not like:
            return None
        least = min(abs(math.log((s.n_params or 1) / n_params)) for s in like)
        nearest = [s for s in like if abs(math.log((s.n_params or 1) / n_params)) == least]
        return sum(s.flops for s in nearest) / max(sum(s.seconds for s in nearest), 1e-9)

    return rate


def tell_run(run: NextRun) -> str:
    """A run in a line of a list."""
    price = duration(run.seconds) if run.seconds is not None else f"{count(run.flops)}FLOP"
    return (
        f"{run.size} P {run.ptpp:.3g}  ρ {run.replay_ratio:.3g}  ATPP ≤ {run.atpp[-1]:.3g}  {price}  "
        f"−{run.fall:.0%} variance"
    )


def tell_runs(runs: NextRuns) -> tuple[str, ...]:
    """What the list is for."""
    goal = f"ρ = {runs.replay_ratio:.3g}, ATPP = {runs.atpp:.3g} of model {runs.model}, P = {runs.ptpp:.3g}"
    first = (
        f"Of {runs.candidates} runs that are not measured yet, those expected to narrow the forecasts at {goal} most "
        f"per {runs.per}, each given those above it."
    )
    of = " · ".join(part for part in (runs.domain, *runs.files) if part)
    return (first, *runs.notes, *([f"Laws of {of}."] if of else []))
