"""Critical mixtures: the largest share of the target corpus that keeps the base loss within a limit, and its law.

CMR (arXiv 2407.17467): at fixed N and budget, the largest target share with L_base <= L_base0 + epsilon and L_target
below L_target0; over budgets it follows R(T) = a T^s + b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.laws.errors import LawError
from engine.laws.points import Floats

TOKENS_UNIT = 0.2e9
"""Tokens that published parameters of R(T) count as one."""
POWERS = np.concatenate([np.linspace(-3.0, -0.02, 150), np.linspace(0.02, 3.0, 150)])


def largest_share(shares: Sequence[float] | Floats, losses: Sequence[float] | Floats, limit: float) -> float:
    """The largest share up to which ``losses`` stay within ``limit``, interpolated where they first cross it; NaN
    when none does.

    With the target's share and the base loss this is D-CPT's first usage (largest domain share at a tolerated general
    loss).
    """
    order = np.argsort(shares)
    share, loss = np.asarray(shares, dtype=float)[order], np.asarray(losses, dtype=float)[order]
    above = np.flatnonzero(loss > limit)
    if not len(above):
        return float(share[-1])
    first = int(above[0])
    if first == 0:
        return float("nan")
    return float(np.interp(limit, loss[first - 1 : first + 1], share[first - 1 : first + 1]))


def critical_mixture(
    shares: Sequence[float] | Floats,
    base_loss: Sequence[float] | Floats,
    target_loss: Sequence[float] | Floats,
    base_zero_shot: float,
    target_zero_shot: float,
    epsilon: float = 0.05,
) -> float:
    """CMR of one model and budget: the largest target share within ``epsilon`` nats of forgetting, where the target
    loss has fallen; NaN where none qualifies."""
    share = largest_share(shares, base_loss, base_zero_shot + epsilon)
    order = np.argsort(shares)
    reached = np.interp(share, np.asarray(shares, dtype=float)[order], np.asarray(target_loss, dtype=float)[order])
    return share if reached < target_zero_shot else float("nan")


@dataclass(frozen=True)
class MixtureLaw:
    """R(T) = a T^s + b, T in units of ``unit`` tokens."""

    a: float
    s: float
    b: float
    unit: float = TOKENS_UNIT

    def share(self, tokens: Sequence[float] | Floats | float) -> Floats:
        """Critical target share at ``tokens`` of adaptation."""
        return self.a * (np.asarray(tokens, dtype=float) / self.unit) ** self.s + self.b


def fit_mixture_law(
    tokens: Sequence[float] | Floats, shares: Sequence[float] | Floats, unit: float = TOKENS_UNIT
) -> MixtureLaw:
    """Least squares over all three parameters: a and b are solved for at every power, the power is then refined.

    Raises LawError for fewer than four budgets with a critical mixture.
    """
    t, r = np.asarray(tokens, dtype=float) / unit, np.asarray(shares, dtype=float)
    known = np.isfinite(t) & np.isfinite(r) & (t > 0)
    t, r = t[known], r[known]
    if len(np.unique(t)) < 4:
        raise LawError(
            f"R(T) = a·T^s + b needs four budgets with a critical mixture, and there are {len(np.unique(t))}.",
            "Add budgets, or loosen the limit on forgetting.",
        )
    powers = POWERS
    for _ in range(6):
        solved = [_solve(t, r, power) for power in powers]
        best = int(np.argmin([cost for _, _, cost in solved]))
        a, b, _ = solved[best]
        power = float(powers[best])
        step = float(np.abs(np.diff(powers)).max())
        powers = np.linspace(power - step, power + step, 41)
    return MixtureLaw(a, power, b, unit)


def _solve(t: Floats, r: Floats, power: float) -> tuple[float, float, float]:
    """a, b and the sum of squares at a power."""
    basis = t**power
    deviation = basis - basis.mean()
    spread = float(np.sum(deviation**2))
    if not np.isfinite(spread) or spread <= 1e-24 * max(float(basis.mean()) ** 2, 1e-300):
        return 0.0, float(r.mean()), float(np.sum((r - r.mean()) ** 2))
    a = float(np.sum(deviation * (r - r.mean())) / spread)
    b = float(r.mean() - a * basis.mean())
    return a, b, float(np.sum((r - a * basis - b) ** 2))
