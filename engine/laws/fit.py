"""Fitting a form to points: starts by variable projection, descent by batched Levenberg–Marquardt, bootstrap over runs.

The objective is the sum of weight * Huber(ln Lhat - ln L, delta). All starts are solved for their coefficients; then
and in two rounds of descent the leaders and a random share of the others are kept, and those are followed to
convergence. Deterministic for a given seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.laws.errors import LawError
from engine.laws.features import Features, Scales, features
from engine.laws.form import Form, Role
from engine.laws.huber import LARGEST_LOSS, SMALLEST_LOSS, log_residuals, negligible
from engine.laws.law import Law, fitted_ranges
from engine.laws.optimise import Problem, minimise
from engine.laws.points import Floats, Points
from engine.laws.starts import draw_starts, project
from engine.laws.usable import Dropped, bounds_of, count_reasons, drop_parameters, refusals, require_enough

ROUNDS = ((0, 80, 80), (8, 30, 40), (25, 15, 15))
"""(iterations, best starts kept, others kept at random) before the last round.

The best basin often descends slowly (measured: half of all starts end in it, none of the 25 that led after 40
iterations), so leaders alone are not followed.
"""
FINAL_ITERATIONS, FINAL_TOLERANCE = 400, 1e-9
POLISH_ITERATIONS, POLISH_TOLERANCE = 3000, 1e-13
BOOTSTRAP_ITERATIONS, BOOTSTRAP_TOLERANCE = 120, 2e-6
"""Looser ones leave refits too near to the fit along sloppy directions: at 1e-5 the interval of dcpt's E was a fifth
too narrow."""
AGREEMENT = 1e-3
"""Starts within 0.1 % of the best objective agree with it."""


@dataclass(frozen=True)
class FitOptions:
    """How to fit. ``delta`` is the Huber threshold on log residuals."""

    role: Role = "target"
    delta: float = 1e-3
    starts: int = 500
    bootstrap: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Fit:
    """A fitted form with the facts needed to judge it. ``u`` is in scaled units, ``law`` in natural ones."""

    law: Law
    options: FitOptions
    u: Floats
    scales: Scales
    points: Points
    """The points the fit used."""
    dropped: Dropped
    objective: float
    n_points: int
    n_runs: int
    excluded: tuple[tuple[str, int], ...]
    """(reason, count) of the points that were left out."""
    starts_polished: int
    """How many of the starts were followed to convergence."""
    starts_agreeing: int
    """How many of those end within 0.1 % of the best objective."""
    at_bound: tuple[str, ...]
    condition: float
    """Ratio of the largest to the smallest singular value of the weighted Jacobian over the free parameters, scaled
    units."""
    bounds: tuple[Floats, Floats] = field(repr=False)

    @property
    def n_free(self) -> int:
        """Parameters that the data could move."""
        return int(np.sum(self.bounds[0] < self.bounds[1]))

    @property
    def problem(self) -> Problem:
        """The optimisation problem of this fit."""
        x = features(self.points, self.scales)
        return Problem(self.law.form, x, np.log(self.points.loss), self.options.delta)


def fit(form: Form, points: Points, options: FitOptions | None = None) -> Fit:
    """Fit ``form`` to ``points`` (all of them: choose splits before).

    Points the form cannot use are left out and counted. Raises LawError when too few are left.
    """
    options = options or FitOptions()
    if options.role not in form.roles:
        raise LawError(
            f"{form.name} describes the {' and '.join(form.roles)} loss only, not the {options.role} loss.",
            "Leave it out of this role's forms.",
        )
    reasons = refusals(form, points)
    used = points.select(reasons == "")
    dropped = drop_parameters(form, used)
    require_enough(form, used, dropped, reasons)
    scales = Scales.of(used)
    x = features(used, scales)
    lower, upper = bounds_of(form, dropped)
    problem = Problem(form, x, np.log(used.loss), options.delta)
    ends, costs = _descend(problem, used, lower, upper, options)
    _require_values(problem, ends, used, "whatever its parameters")
    first = ends[[np.argmin(costs)]]
    polished, least = minimise(problem, first, lower, upper, used.weight, POLISH_ITERATIONS, POLISH_TOLERANCE)
    u, cost = polished[0], float(least[0])
    _require_values(problem, polished, used, "where it fits best")
    draws = _bootstrap(problem, used, u, lower, upper, options)
    natural = form.from_u(form.to_natural(u, scales))
    law = Law(
        form=form,
        role=options.role,
        params=dict(zip(form.names, natural.tolist(), strict=True)),
        draws=form.from_u(form.to_natural(draws, scales)),
        p0=scales.p0,
        ranges=fitted_ranges(used),
        dropped=dropped.axes,
    )
    free = lower < upper
    touching = free & (np.isclose(u, lower, atol=1e-6) | np.isclose(u, upper, atol=1e-6))
    return Fit(
        law=law,
        options=options,
        u=u,
        scales=scales,
        points=used,
        dropped=dropped,
        objective=cost,
        n_points=len(used),
        n_runs=len(np.unique(used.run)),
        excluded=tuple(count_reasons(reasons)),
        starts_polished=len(costs),
        starts_agreeing=int(np.sum(costs <= cost * (1 + AGREEMENT) + negligible(used.weight, options.delta))),
        at_bound=tuple(name for name, flag in zip(form.names, touching, strict=True) if flag),
        condition=_condition(form, u, x, used, options.delta, free & ~touching),
        bounds=(lower, upper),
    )


def _descend(
    problem: Problem, used: Points, lower: Floats, upper: Floats, options: FitOptions
) -> tuple[Floats, Floats]:
    rng = np.random.default_rng([options.seed, 0])
    form, free = problem.form, lower < upper
    drawn = np.where(free, draw_starts(form, options.starts, rng), lower)
    u = np.clip(project(form, drawn, problem.x, used.loss, used.weight, free), lower, upper)
    for iterations, leaders, others in ROUNDS:
        u, costs = minimise(problem, u, lower, upper, used.weight, iterations, FINAL_TOLERANCE)
        order = np.argsort(costs, kind="stable")
        u = u[np.concatenate([order[:leaders], rng.permutation(order[leaders:])[:others]])]
    return minimise(problem, u, lower, upper, used.weight, FINAL_ITERATIONS, FINAL_TOLERANCE)


def _require_values(problem: Problem, u: Floats, used: Points, where: str) -> None:
    """Refuse a form that is not a loss at some points for any row of ``u``."""
    with np.errstate(all="ignore"):
        losses = problem.form.value(u, problem.x)
    useless = ~((losses > SMALLEST_LOSS) & (losses < LARGEST_LOSS)).any(axis=0)
    if useless.any():
        first = int(np.argmax(useless))
        values = ", ".join(f"{column} = {getattr(used, column)[first]:.4g}" for column in problem.form.needs)
        raise LawError(
            f"{problem.form.name} has no finite positive value at {useless.sum()} of {len(used)} points, {where}; "
            f"the first has {values}.",
            "Check the formula and the bounds of its parameters, or leave those points out.",
        )


def _bootstrap(problem: Problem, used: Points, u: Floats, lower: Floats, upper: Floats, options: FitOptions) -> Floats:
    """Refits (B, p) with runs drawn with replacement, warm-started at the fit; none when there is a single run."""
    runs, member = np.unique(used.run, return_inverse=True)
    if options.bootstrap == 0 or len(runs) < 2:
        return np.empty((0, len(u)))
    rng = np.random.default_rng([options.seed, 1])
    counts = rng.multinomial(len(runs), np.full(len(runs), 1.0 / len(runs)), size=options.bootstrap)
    weight = counts[:, member] * used.weight
    start = np.broadcast_to(u, (options.bootstrap, len(u))).copy()
    ends, _ = minimise(problem, start, lower, upper, weight, BOOTSTRAP_ITERATIONS, BOOTSTRAP_TOLERANCE)
    return ends


def _condition(form: Form, u: Floats, x: Features, used: Points, delta: float, free: Floats) -> float:
    if not free.any():
        return 1.0
    predicted, jacobian = form.value_and_jacobian(u[None], x)
    residuals = np.abs(log_residuals(predicted[0], np.log(used.loss)))
    weight = np.sqrt(used.weight * np.minimum(1.0, delta / np.maximum(residuals, 1e-300)))
    singular = np.linalg.svd(jacobian[0][free] / predicted[0] * weight, compute_uv=False)
    return float(singular[0] / max(singular[-1], 1e-300 + singular[0] * 1e-16))
