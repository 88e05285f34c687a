"""What the data determine and what they leave open, in numbers and in words.

Each nonlinear parameter is held at values around the fit while all others are refitted. Where the objective hardly
rises, the data do not determine the parameter; how far the forecasts move along those refits is what that ignorance
costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.laws.features import features
from engine.laws.fit import Fit
from engine.laws.form import Parameter
from engine.laws.huber import negligible
from engine.laws.optimise import minimise
from engine.laws.points import Floats, Points
from engine.laws.starts import project

FACTORS = np.array([1 / 8, 1 / 4, 1 / 2, 1 / 1.4, 1.4, 2.0, 4.0, 8.0])
STEPS = np.array([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])
SPREAD = np.linspace(0.0, 1.0, 4)
"""Values tried: multiples of a positive parameter, offsets of one of either sign, its bounds, and some over its start
range."""
HALVINGS = 5
"""Of the gap between the farthest value that fits as well and the nearest one beyond that does not."""
OPEN_RATIO, OPEN_WIDTH = 4.0, 1.0
"""A positive parameter whose accepted values span this ratio, or one of either sign this width, is not determined."""
ITERATIONS, TOLERANCE = 60, 1e-5
NOTICEABLE = 0.001
"""Forecasts that move by less than 0.1 % are not worth a number."""


@dataclass(frozen=True)
class Profile:
    """One parameter's accepted values: those whose best refit costs at most ``rise`` more than the fit."""

    name: str
    low: float
    high: float
    """Natural values. Of a coefficient, over the refits of all profiles."""
    determined: bool | None
    """None for a coefficient: whether it means anything is said of its exponents."""
    spread: tuple[float, float]
    """Lowest and highest relative change of any probed forecast among the accepted refits."""


@dataclass(frozen=True)
class Identifiability:
    """Profiles of all free parameters, and the same in words."""

    rise: float
    """Relative rise of the objective that counts as no worse: 2 / number of runs."""
    profiles: tuple[Profile, ...]
    spread: tuple[float, float]
    """Over all profiles."""
    sentences: tuple[str, ...]
    reach: Floats
    """(2, n): lowest and highest relative change of each probed forecast over all profiles."""


def identify(fitted: Fit, probe: Points | None = None) -> Identifiability:
    """Profile ``fitted``; forecasts are probed at ``probe`` (default: the fitted points).

    For residuals of Laplace type a relative rise x of the objective lowers the log-likelihood by about n x; points of
    one run are not independent, so n is the number of runs and a rise of 2/n (95 %) counts as no worse.
    """
    probe = fitted.points if probe is None or not len(probe) else probe
    rise = 2.0 / max(fitted.n_runs, 2)
    form, (lower, upper) = fitted.law.form, fitted.bounds
    rows, owners = _candidates(fitted)
    if not len(owners):
        return Identifiability(rise, (), (0.0, 0.0), fitted.dropped.notes, np.zeros((2, len(probe))))
    ends, costs = _refit(fitted, rows, owners)
    floor = negligible(fitted.points.weight, fitted.options.delta)
    accept = min(fitted.objective, float(costs.min())) * (1.0 + rise) + floor
    ends, costs, owners = _refine(fitted, ends, costs, owners, accept)
    accepted = costs <= accept
    change = np.vstack([np.zeros((1, len(probe))), _relative_change(fitted, ends[accepted], probe)])
    owner_of = np.concatenate([[-1], owners[accepted]])
    good = np.vstack([fitted.u, ends[accepted]])
    natural = form.from_u(form.to_natural(good, fitted.scales))
    edges = form.from_u(np.stack([lower, upper]))
    profiles = []
    for position in np.flatnonzero(lower < upper):
        parameter = form.parameters[position]
        # A coefficient moves along all profiles; an exponent's own profile is at least as wide as any other shows.
        moved = change[(owner_of == position) | (owner_of < 0)]
        own = form.from_u(good[(owner_of == position) | (owner_of < 0)])[:, position]
        profiles.append(
            Profile(
                name=parameter.name,
                low=float(natural[:, position].min()),
                high=float(natural[:, position].max()),
                determined=None if parameter.linear else not _is_open(parameter, own, edges[:, position]),
                spread=(float(moved.min(initial=0.0)), float(moved.max(initial=0.0))),
            )
        )
    reach = np.stack([change.min(axis=0), change.max(axis=0)])
    spread = (float(reach.min(initial=0.0)), float(reach.max(initial=0.0)))
    return Identifiability(rise, tuple(profiles), spread, _sentences(fitted, profiles, spread, rise), reach)


def _refine(
    fitted: Fit, ends: Floats, costs: Floats, owners: np.ndarray, accept: float
) -> tuple[Floats, Floats, np.ndarray]:
    """Halve the gap between what fits as well and what does not, at both ends of every profile; adds these refits."""
    # (parameter, side, farthest accepted row, nearest rejected value beyond)
    gaps: list[tuple[int, Floats, float]] = []
    for position in np.unique(owners):
        mine = owners == position
        values = np.append(ends[mine, position], fitted.u[position])
        rows = np.vstack([ends[mine], fitted.u])
        good = np.append(costs[mine] <= accept, True)
        for sign in (-1.0, 1.0):
            inner = int(np.argmax(np.where(good, sign * values, -np.inf)))
            beyond = ~good & (sign * values > sign * values[inner])
            if beyond.any():
                gaps.append((int(position), rows[inner], sign * float(np.min(sign * values[beyond]))))
    for _ in range(HALVINGS):
        if not gaps:
            break
        tried = np.array([row for _, row, _ in gaps])
        mine = np.array([position for position, _, _ in gaps])
        each = np.arange(len(gaps))
        tried[each, mine] = [(row[position] + outer) / 2 for position, row, outer in gaps]
        found, cost = _refit(fitted, tried, mine)
        ends, costs, owners = np.vstack([ends, found]), np.append(costs, cost), np.append(owners, mine)
        gaps = [
            (position, found[index], outer) if cost[index] <= accept else (position, row, float(tried[index, position]))
            for index, (position, row, outer) in enumerate(gaps)
        ]
    return ends, costs, owners


def _candidates(fitted: Fit) -> tuple[Floats, np.ndarray]:
    """Starting rows (S, p), each with one parameter moved, and which one."""
    form, (lower, upper) = fitted.law.form, fitted.bounds
    rows, owners = [], []
    for position, parameter in enumerate(form.parameters):
        if parameter.linear or lower[position] >= upper[position]:
            continue
        here = fitted.u[position]
        either_sign = not parameter.log and parameter.bounds[0] < 0
        tried = here + STEPS if either_sign else here + np.log(FACTORS) if parameter.log else here * FACTORS
        low, high = np.log(parameter.start) if parameter.log else parameter.start
        tried = np.concatenate([tried, low + SPREAD * (high - low), [lower[position], upper[position]]])
        for value in np.unique(np.clip(tried, lower[position], upper[position])):
            row = fitted.u.copy()
            row[position] = value
            rows.append(row)
            owners.append(position)
    return np.array(rows), np.array(owners, dtype=int)


def _refit(fitted: Fit, rows: Floats, owners: np.ndarray) -> tuple[Floats, Floats]:
    """Refit everything but each row's own parameter, from the fit's coefficients and from re-projected ones; keep the
    better."""
    problem, used = fitted.problem, fitted.points
    lower, upper = (np.broadcast_to(bound, rows.shape).copy() for bound in fitted.bounds)
    each = np.arange(len(rows))
    lower[each, owners] = upper[each, owners] = rows[each, owners]
    free = fitted.bounds[0] < fitted.bounds[1]
    projected = np.clip(project(problem.form, rows, problem.x, used.loss, used.weight, free), lower, upper)
    ends, costs = minimise(
        problem,
        np.vstack([rows, projected]),
        np.vstack([lower, lower]),
        np.vstack([upper, upper]),
        used.weight,
        ITERATIONS,
        TOLERANCE,
    )
    second = costs[len(rows) :] < costs[: len(rows)]
    return np.where(second[:, None], ends[len(rows) :], ends[: len(rows)]), np.minimum(*np.split(costs, 2))


def _relative_change(fitted: Fit, ends: Floats, probe: Points) -> Floats:
    x = features(probe, fitted.scales)
    form = fitted.law.form
    with np.errstate(over="ignore", invalid="ignore"):
        return form.value(ends, x) / form.value(fitted.u[None], x) - 1.0


def _is_open(parameter: Parameter, values: Floats, edges: Floats) -> bool:
    low, high = float(values.min()), float(values.max())
    if not parameter.log and parameter.bounds[0] < 0:
        return high - low >= OPEN_WIDTH
    at_edge = low <= edges[0] * (1 + 1e-9) or high >= edges[1] * (1 - 1e-9)
    return high / max(low, 1e-300) >= OPEN_RATIO or (at_edge and high / max(low, 1e-300) >= 2.0)


def _sentences(fitted: Fit, profiles: list[Profile], spread: tuple[float, float], rise: float) -> tuple[str, ...]:
    sentences = list(fitted.dropped.notes)
    unknown = [profile for profile in profiles if profile.determined is False]
    for profile in unknown:
        sentences.append(
            f"Your data do not determine {profile.name}: values from {profile.low:.3g} to {profile.high:.3g} "
            f"fit as well (cost within {rise:.1%}), and {_describe(profile.spread)}."
        )
    if not unknown:
        sentences.append(f"Your data determine every exponent; within what they leave open, {_describe(spread)}.")
    off = [name for name in fitted.at_bound if _is_off(fitted, name)]
    if off:
        sentences.append(
            f"The data switch off {', '.join(off)}: the term vanishes, and an exponent in it means nothing."
        )
    if edge := [name for name in fitted.at_bound if name not in off]:
        sentences.append(f"At the edge of the allowed range: {', '.join(edge)}.")
    return tuple(sentences)


def _is_off(fitted: Fit, name: str) -> bool:
    """Whether a coefficient sits at its lower bound: a millionth of a nat."""
    position = fitted.law.form.index[name]
    parameter = fitted.law.form.parameters[position]
    return parameter.linear and parameter.log and fitted.u[position] <= fitted.bounds[0][position] + 1e-6


def _describe(spread: tuple[float, float]) -> str:
    if max(-spread[0], spread[1]) < NOTICEABLE:
        return "the forecasts do not depend on it (below 0.1 %)"
    return f"the forecasts move by {spread[0]:+.1%} to {spread[1]:+.1%}"
