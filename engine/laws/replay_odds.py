"""The base loss of replay against new text: what replayed tokens hold, and go on teaching.

    L = L0 (1 + r A/P)^(-delta) + G (E - L0) D^b (P N)^mu ((1-r) / (r D + K (P/P0)^c))^(b+mu)

The first factor is pretraining gone on with: r A/P is the replayed tokens by those of pretraining. The second term is
forgetting, a part of the way from L0 to E: without replay it rises as D^b, and where r D is many times K it settles at
a level that the odds (1-r)/r set. This project's own form: exact at D = 0, base loss only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.laws.features import Features
from engine.laws.form import Form
from engine.laws.points import Floats


@dataclass(frozen=True)
class ReplayOddsForm(Form):
    """Parameters G, E, b, mu, K, c, delta."""

    def value(self, u: Floats, x: Features) -> Floats:
        return self._kept(u, x)[0] + (u[:, self.index["E"], None] - x.zero_shot) * self._part(u, x)[0]

    def value_and_jacobian(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        kept, by_delta = self._kept(u, x)
        part, log_odds, held = self._part(u, x)
        gap = u[:, self.index["E"], None] - x.zero_shot
        rise = gap * part
        log_odds, ln_d = (np.where(np.isfinite(values), values, 0.0) for values in (log_odds, x.ln_d))
        power = u[:, self.index["b"], None] + u[:, self.index["mu"], None]
        jacobian = np.empty((len(u), len(self.parameters), len(x.one)))
        jacobian[:, self.index["G"]] = rise
        jacobian[:, self.index["E"]] = part
        # Where the part is 0 (D = 0, r = 1) its logarithm is not finite, and the derivatives are 0.
        jacobian[:, self.index["b"]] = rise * (ln_d + log_odds)
        jacobian[:, self.index["mu"]] = rise * (x.ln_pn + log_odds)
        jacobian[:, self.index["K"]] = -rise * power * held
        jacobian[:, self.index["c"]] = -rise * power * held * x.ln_p
        jacobian[:, self.index["delta"]] = by_delta
        return kept + rise, jacobian

    def basis(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        unit = u.copy()
        unit[:, self.index["G"]] = 0.0
        gap = u[:, self.index["E"], None] - x.zero_shot
        return self._kept(u, x)[0], (gap * self._part(unit, x)[0])[:, None, :]

    def _kept(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        """L0 (1 + r A/P)^(-delta) and its derivative by delta."""
        log_more = np.log1p(x.r * x.data["D"] / (x.data["N"] * x.data["P"]))
        kept = x.zero_shot * np.exp(-u[:, self.index["delta"], None] * log_more)
        return kept, -kept * log_more

    def _part(self, u: Floats, x: Features) -> tuple[Floats, Floats, Floats]:
        """The part of the way to E, ln of the odds, and the share of K in their denominator."""
        scale = np.exp(u[:, [self.index["K"], self.index["c"]]] @ np.stack([x.one, x.ln_p]))
        b, mu = u[:, self.index["b"], None], u[:, self.index["mu"], None]
        with np.errstate(divide="ignore"):
            resisting = x.r * np.exp(x.ln_d) + scale
            log_odds = np.log1p(-x.r) - np.log(resisting)
        part = np.exp(u[:, self.index["G"], None] + b * x.ln_d + mu * x.ln_pn + (b + mu) * log_odds)
        return part, log_odds, scale / resisting
