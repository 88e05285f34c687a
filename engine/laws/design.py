"""What a planned set of points can say of a law before anything is measured.

The law is linearised around plausible truths (draws from its parameters' start ranges): the Jacobian J of ln L over the
planned points gives, under noise of relative size σ, the covariance σ² (JᵀJ + σ² Λ)⁻¹ of the parameters (Λ: the start
ranges as a weak prior), the local optimal-design approximation (Atkinson, Donev & Tobias, Optimum Experimental Designs,
2007, ch. 17). A parameter whose 95 % interval would be as wide as what ``identify`` calls open is not determined.
Designs with fixed tokens per parameter are ill-conditioned, about 1/(α − β)² (arXiv 2605.08541).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.laws.errors import LawError
from engine.laws.features import Scales, features
from engine.laws.form import Form, Role
from engine.laws.huber import LARGEST_LOSS, SMALLEST_LOSS
from engine.laws.identify import OPEN_RATIO, OPEN_WIDTH
from engine.laws.points import Floats, Points, count_distinct
from engine.laws.starts import draw_starts
from engine.laws.usable import bounds_of, drop_parameters, refusals, require_enough

NOISE = 0.005
"""Relative scatter of a run's loss that is assumed: seeds, and what the form does not describe. The points of one run
count as one measurement of that scatter."""
DRAWS = 200
MOSTLY = 0.5
"""Share of the plausible truths in which a parameter would be open, from which on it is called so."""
INTERVAL = 1.96
SINGULAR = 1e8
"""Condition numbers from here on are told as this: terms of the law are one function of the points."""


@dataclass(frozen=True)
class Verdict:
    """What the planned points can say of one form."""

    form: str
    role: Role
    n_points: int
    n_runs: int
    n_free: int
    condition: float
    """Ratio of the largest to the smallest singular value of the Jacobian, its median over the plausible truths; NaN
    where there is no fit."""
    dropped: tuple[str, ...]
    """Axes whose terms there are too few values for."""
    open: tuple[tuple[str, float], ...]
    """(parameter, share of the plausible truths in which it would be left open), where that is most of them."""
    forecast: float
    """Relative error that noise alone would give forecasts at the held-out points, the median; NaN without any."""
    reason: str = ""
    """Why it cannot be fitted at all."""

    @property
    def singular(self) -> bool:
        """Whether terms of the law cannot be told apart at these points."""
        return self.condition >= SINGULAR

    @property
    def determined(self) -> bool:
        """Whether every exponent would be."""
        return not (self.reason or self.dropped or self.open or self.singular)


def judge_design(
    form: Form, points: Points, role: Role, *, noise: float = NOISE, draws: int = DRAWS, seed: int = 0
) -> Verdict:
    """Judge planned ``points`` (losses are not read): those of split ``fit`` are fitted, of ``score`` predicted.

    Losses before adaptation that are not known are assumed to fall with N and P.
    """
    points = replace(assume_losses(points), loss=np.ones(len(points)))
    fitted = points.select(points.split == "fit")
    reasons = refusals(form, fitted)
    used = fitted.select(reasons == "")
    dropped = drop_parameters(form, used)
    facts = (form.name, role, len(used), len(np.unique(used.run)), len(form.parameters) - len(dropped.neutral))
    try:
        if role not in form.roles:
            raise LawError(f"{form.name} describes the {' and '.join(form.roles)} loss only.")
        require_enough(form, used, dropped, reasons)
    except LawError as refusal:
        return Verdict(*facts, np.nan, dropped.axes, (), np.nan, refusal.message)
    scales = Scales.of(used)
    lower, upper = bounds_of(form, dropped)
    free = lower < upper
    u = np.where(free, draw_starts(form, draws, np.random.default_rng([seed, 3])), lower)
    jacobian, sound = _log_jacobian(form, u, used, scales, free)
    if not sound.any():
        return Verdict(*facts, np.nan, dropped.axes, (), np.nan, f"{form.name} has no value at the planned points.")
    u, jacobian = u[sound], jacobian[sound]
    covariance = _covariance(form, jacobian, used, free, noise)
    shares = _open_shares(form, u, covariance, lower, upper, free)
    held_out = points.select(points.split == "score")
    held_out = held_out.select(refusals(form, held_out) == "")
    return Verdict(
        *facts,
        float(np.median(_conditions(jacobian))),
        dropped.axes,
        tuple((name, share) for name, share in shares if share >= MOSTLY),
        _forecast(form, u, covariance, used, held_out, scales, free, dropped.axes),
    )


def assume_losses(points: Points) -> Points:
    """Points whose unknown losses before adaptation fall with N and P as a plausible law says: nats per token."""
    with np.errstate(invalid="ignore"):
        size, seen = _relative(points.n_params), _relative(points.n_params * points.ptpp)
    assumed = 2.0 + np.where(np.isfinite(size), size, 1.0) ** -0.3 + np.where(np.isfinite(seen), seen, 1.0) ** -0.3
    return replace(
        points,
        zero_shot_loss=np.where(np.isfinite(points.zero_shot_loss), points.zero_shot_loss, assumed),
        quality=np.where(np.isfinite(points.quality), points.quality, assumed),
    )


def _relative(values: Floats) -> Floats:
    known = values[np.isfinite(values) & (values > 0)]
    return values / np.exp(np.mean(np.log(known))) if len(known) else np.full(len(values), np.nan)


def _log_jacobian(form: Form, u: Floats, points: Points, scales: Scales, free: Floats) -> tuple[Floats, Floats]:
    """Derivatives (S, free, n) of ln L by ``u``, and which rows have a value everywhere."""
    with np.errstate(all="ignore"):
        losses, jacobian = form.value_and_jacobian(u, features(points, scales))
        sound = ((losses > SMALLEST_LOSS) & (losses < LARGEST_LOSS)).all(axis=1)
        relative = jacobian[:, free] / losses[:, None, :]
    return relative, sound & np.isfinite(relative).all(axis=(1, 2))


def _conditions(jacobian: Floats) -> Floats:
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(jacobian @ jacobian.transpose(0, 2, 1)), 0.0))
    return singular[:, -1] / np.maximum(singular[:, 0], singular[:, -1] / SINGULAR)


def _covariance(form: Form, jacobian: Floats, points: Points, free: Floats, noise: float) -> Floats:
    """Covariance (S, free, free) of ``u``; each run weighs as one measurement."""
    _, member, counts = np.unique(points.run, return_inverse=True, return_counts=True)
    weight = points.weight / counts[member]
    gram = (jacobian * weight) @ jacobian.transpose(0, 2, 1)
    ends = np.stack([form.to_u([parameter.start[side] for parameter in form.parameters]) for side in (0, 1)])
    half = (ends[1] - ends[0])[free] / 2.0
    return np.linalg.inv(gram / noise**2 + np.diag(1.0 / half**2))


def _open_shares(
    form: Form, u: Floats, covariance: Floats, lower: Floats, upper: Floats, free: Floats
) -> list[tuple[str, float]]:
    """For each exponent, the share of the truths in which its interval would be called open."""
    width = np.zeros_like(u)
    width[:, free] = INTERVAL * np.sqrt(np.einsum("spp->sp", covariance))
    low, high = (form.from_u(np.clip(u + sign * width, lower, upper)) for sign in (-1.0, 1.0))
    shares = []
    for position, parameter in enumerate(form.parameters):
        if parameter.linear or not free[position]:
            continue
        if not parameter.log and parameter.bounds[0] < 0:
            is_open = high[:, position] - low[:, position] >= OPEN_WIDTH
        else:
            is_open = high[:, position] / np.maximum(low[:, position], 1e-300) >= OPEN_RATIO
        shares.append((parameter.name, float(np.mean(is_open))))
    return shares


def _forecast(
    form: Form,
    u: Floats,
    covariance: Floats,
    used: Points,
    held_out: Points,
    scales: Scales,
    free: Floats,
    dropped: Sequence[str],
) -> float:
    """Median over truths of the root mean square of the relative error at the held-out points."""
    if not len(held_out):
        return np.nan
    reaches = {"P": "ptpp", "N": "n_params", "r": "share"}
    if any(_leaves(getattr(used, reaches[axis]), getattr(held_out, reaches[axis])) for axis in dropped):
        return np.nan
    jacobian, sound = _log_jacobian(form, u, held_out, scales, free)
    if not sound.any():
        return np.nan
    variance = np.einsum("spn,spq,sqn->sn", jacobian[sound], covariance[sound], jacobian[sound])
    return float(np.median(np.sqrt(np.mean(variance, axis=1))))


def _leaves(fitted: Floats, asked: Floats) -> bool:
    """Whether values lie beyond those fitted, by more than counts as one."""
    return bool(len(asked)) and count_distinct(np.concatenate([fitted, asked])) > count_distinct(fitted)


def warn_design(points: Points) -> tuple[str, ...]:
    """What a planned set of points (split ``fit``) cannot tell whatever the form, a sentence each."""
    fitted = points.select(points.split == "fit")
    sizes, stages = count_distinct(fitted.n_params), count_distinct(fitted.ptpp)
    budgets, tokens = count_distinct(fitted.atpp), count_distinct(fitted.adapt_tokens)
    shares = len(np.unique(np.round(fitted.replay_ratio[np.isfinite(fitted.replay_ratio)], 4)))
    warnings = []
    if stages == 0:
        warnings.append("The tokens seen by the base are unknown: no law can speak of P.")
    elif stages == 1:
        warnings.append("One PTPP is fitted: no law learns how P matters, and none is used at another P.")
    elif stages == 2:
        warnings.append("Two PTPP are fitted: how the effect of P bends beyond them is the form's assumption.")
    if tokens == 1:
        warnings.append("One budget of adaptation tokens: no law learns how D matters.")
    elif budgets == 1:
        warnings.append(
            "One ATPP: D = A·N at every point, so N^−α and D^−β are powers of one variable, ill-conditioned as "
            "1/(α − β)² (arXiv 2605.08541); a second ATPP along the same trajectories costs little."
        )
    if sizes < 3:
        noun = "size" if sizes == 1 else "sizes"
        warnings.append(
            f"{sizes} model {noun}: the size term is merged into the others, and none is used at another N."
        )
    if shares == 1:
        warnings.append("One replay ratio: no law learns how ρ matters, and none is used at another ρ.")
    return tuple(warnings)
