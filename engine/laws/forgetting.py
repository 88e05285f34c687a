"""The forgetting law of Bethune et al. (arXiv 2502.06042): L = L0 + A D^beta / ((1 + B rho) N)^alpha + E, for the base
loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.laws.features import Features
from engine.laws.form import Form
from engine.laws.points import Floats


@dataclass(frozen=True)
class ForgettingForm(Form):
    """``offset``: whether E is a parameter; without it the form is exact at D = 0."""

    offset: bool = True

    def value(self, u: Floats, x: Features) -> Floats:
        return x.zero_shot + self._rise(u, x) + self._shift(u)

    def value_and_jacobian(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        rise = self._rise(u, x)
        replay = np.exp(u[:, self.index["B"], None]) * x.rho
        alpha = u[:, self.index["alpha"], None]
        jacobian = np.zeros((len(u), len(self.parameters), len(x.one)))
        jacobian[:, self.index["A"]] = rise
        # At D = 0 the rise is 0 and ln D is -inf: the derivative is 0 there.
        jacobian[:, self.index["beta"]] = rise * np.where(np.isfinite(x.ln_d), x.ln_d, 0.0)
        jacobian[:, self.index["alpha"]] = -rise * (np.log1p(replay) + x.ln_n)
        jacobian[:, self.index["B"]] = -rise * alpha * replay / (1.0 + replay)
        if self.offset:
            jacobian[:, self.index["E"]] = 1.0
        return x.zero_shot + rise + self._shift(u), jacobian

    def basis(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        unit = u.copy()
        unit[:, self.index["A"]] = 0.0
        rows = {"A": self._rise(unit, x), "E": np.ones((len(u), len(x.one)))}
        stacked = np.stack([rows[self.names[position]] for position in self.linear], axis=1)
        return np.broadcast_to(x.zero_shot, (len(u), len(x.one))), stacked

    def _rise(self, u: Floats, x: Features) -> Floats:
        replay = np.exp(u[:, self.index["B"], None]) * x.rho
        alpha = u[:, self.index["alpha"], None]
        growth = u[:, self.index["A"], None] + u[:, self.index["beta"], None] * x.ln_d
        return np.exp(growth - alpha * (np.log1p(replay) + x.ln_n))

    def _shift(self, u: Floats) -> Floats | float:
        return u[:, self.index["E"], None] if self.offset else 0.0
