"""The zero-shot form: from the measured loss before adaptation to an asymptote, at a rate set by size, budget and
share.

    L = Linf + (L0 - Linf) (1 + D/Dc)^(-beta)
    Linf = E + A/N^alpha + F/(P N)^phi + C/(r+eps)^gamma,   Dc = K N^a (P/P0)^kappa / (r+eps)^eta

This project's own form: exact at D = 0 and finite everywhere; Linf may exceed L0, so it also describes a base loss
that rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.laws.features import Features
from engine.laws.points import Floats
from engine.laws.sums import SumForm


@dataclass(frozen=True)
class ZeroShotForm(SumForm):
    """``terms`` are those of the asymptote Linf."""

    def value(self, u: Floats, x: Features) -> Floats:
        limit = super().value(u, x)
        return limit + (x.zero_shot - limit) * self._remaining(u, x)[0]

    def value_and_jacobian(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        limit, jacobian = super().value_and_jacobian(u, x)
        remaining, progress, log_share, epsilon = self._remaining(u, x)
        gap = x.zero_shot - limit
        jacobian *= (1.0 - remaining)[:, None, :]
        beta, eta = u[:, self.index["beta"], None], u[:, self.index["eta"], None]
        by_log_scale = gap * remaining * beta * progress / (1.0 + progress)
        jacobian[:, self.index["K"]] = by_log_scale
        jacobian[:, self.index["a"]] = by_log_scale * x.ln_n
        jacobian[:, self.index["kappa"]] = by_log_scale * x.ln_p
        jacobian[:, self.index["eta"]] = -by_log_scale * log_share
        jacobian[:, self.index["eps"]] -= by_log_scale * eta * epsilon / (x.r + epsilon)
        jacobian[:, self.index["beta"]] = -gap * remaining * np.log1p(progress)
        return limit + gap * remaining, jacobian

    def basis(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        _, rows = super().basis(u, x)
        remaining = self._remaining(u, x)[0]
        return x.zero_shot * remaining, rows * (1.0 - remaining)[:, None, :]

    def _remaining(self, u: Floats, x: Features) -> tuple[Floats, Floats, Floats, Floats]:
        """(1 + D/Dc)^(-beta), D/Dc, ln(r + eps) and eps."""
        epsilon = np.exp(u[:, self.index["eps"], None])
        log_share = np.log(x.r + epsilon)
        log_scale = u[:, [self.index["K"], self.index["a"], self.index["kappa"]]] @ np.stack([x.one, x.ln_n, x.ln_p])
        log_scale -= u[:, self.index["eta"], None] * log_share
        progress = np.exp(np.minimum(x.ln_d - log_scale, 700.0))
        return np.exp(-u[:, self.index["beta"], None] * np.log1p(progress)), progress, log_share, epsilon
