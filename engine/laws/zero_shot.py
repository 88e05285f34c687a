"""The zero-shot forms: from the measured loss before adaptation to an asymptote, at a rate set by size, pretraining
and share.

    L = Linf + (L0 - Linf) (1 + D/Dc)^(-beta),   Dc = K N^a X^kappa / (r+eps)^eta
    zero_shot: Linf = E + A/N^alpha + F/(P N)^phi + C/(r+eps)^gamma, X = P/P0
    quality_limit: Linf = F Q^phi N^nu / (r+eps)^gamma, X = Q

This project's own forms: exact at D = 0 and finite everywhere; Linf may exceed L0, so they also describe a base loss
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

    pretraining: str = "ln_p"
    """The feature whose exponent in Dc is kappa: ``ln_p`` or ``ln_q``."""

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
        jacobian[:, self.index["kappa"]] = by_log_scale * getattr(x, self.pretraining)
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
        columns = [self.index["K"], self.index["a"], self.index["kappa"]]
        log_scale = u[:, columns] @ np.stack([x.one, x.ln_n, getattr(x, self.pretraining)])
        log_scale -= u[:, self.index["eta"], None] * log_share
        progress = np.exp(np.minimum(x.ln_d - log_scale, 700.0))
        return np.exp(-u[:, self.index["beta"], None] * np.log1p(progress)), progress, log_share, epsilon
