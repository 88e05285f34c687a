"""What the forms compute with: logarithms of the data variables relative to reference values.

Fits run in scaled units (N/N_ref, D/D_ref, ...): a coefficient is then its term's size in nats at the centre of the
data and is nearly uncorrelated with its exponent. Reports and stored parameters are in natural units, which are the
same formulas with all references 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.laws.points import Floats, Points, group_values


@dataclass(frozen=True)
class Scales:
    """Reference values: of N, D, P*N and Q. ``p0`` is part of the law (the gate is P/P0), so it is the same in both
    units."""

    n: float = 1.0
    d: float = 1.0
    pn: float = 1.0
    q: float = 1.0
    p0: float = 1.0
    scaled: bool = False
    """Whether these are references of data; else units are natural."""

    @classmethod
    def of(cls, points: Points) -> Scales:
        """Geometric means over the distinct values of ``points``; 1 where a column was not measured."""
        n, d, p, q = (
            _geometric_mean(values) for values in (points.n_params, points.adapt_tokens, points.ptpp, points.quality)
        )
        return cls(n=n, d=d, pn=p * n, q=q, p0=p, scaled=True)

    @property
    def natural(self) -> Scales:
        """The scales of natural units with the same P0."""
        return Scales(p0=self.p0)

    @property
    def centre(self) -> dict[str, float]:
        """The data variables of formulas at the references; half a share, and a loss of a typical size."""
        values = {"N": self.n, "P": self.pn / self.n, "D": self.d, "atpp": self.d / self.n, "Q": self.q}
        return {**values, "rho": 0.5, "r": 0.5, "L0": 3.0, "P0": self.p0}

    def log(self, name: str) -> float:
        """Logarithm of a reference."""
        return math.log(getattr(self, name))


def _geometric_mean(values: Floats) -> float:
    distinct = group_values(values)
    return float(np.exp(np.mean(np.log(distinct)))) if distinct else 1.0


@dataclass(frozen=True)
class Features:
    """Data variables of n points as the forms use them; arrays of shape (n,)."""

    one: Floats
    ln_six: Floats
    """The 6 of C = 6ND, whatever the references."""
    ln_n: Floats
    ln_d: Floats
    """ln(D/D_ref), -inf at D = 0."""
    ln_p: Floats
    """ln(P/P0)."""
    ln_pn: Floats
    ln_pn_ln_d: Floats
    ln_q: Floats
    r: Floats
    ln_r: Floats
    """ln r, with 0 at r = 0, where every r^eta and r^eta ln r is taken as 0."""
    rho: Floats
    zero_shot: Floats
    data: Mapping[str, Floats]
    """The same in natural units, by the names of formulas; L0 is ``zero_shot``."""
    scales: Scales


def features(points: Points, scales: Scales) -> Features:
    """The features of ``points`` relative to ``scales``; NaN where a column is not measured."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ln_n, ln_p = np.log(points.n_params), np.log(points.ptpp)
        ln_d = np.log(points.adapt_tokens) - math.log(scales.d)
        ln_pn = ln_p + ln_n - math.log(scales.pn)
        return Features(
            one=np.ones(len(points)),
            ln_six=np.full(len(points), math.log(6.0)),
            ln_n=ln_n - math.log(scales.n),
            ln_d=ln_d,
            ln_p=ln_p - math.log(scales.p0),
            ln_pn=ln_pn,
            ln_pn_ln_d=ln_pn * ln_d,
            ln_q=np.log(points.quality) - math.log(scales.q),
            r=points.share,
            ln_r=np.where(points.share > 0, np.log(np.where(points.share > 0, points.share, 1.0)), 0.0),
            rho=points.replay_ratio,
            zero_shot=points.zero_shot_loss,
            data={
                "N": points.n_params,
                "P": points.ptpp,
                "D": points.adapt_tokens,
                "atpp": points.atpp,
                "rho": points.replay_ratio,
                "r": points.share,
                "Q": points.quality,
                "P0": np.array(scales.p0),
            },
            scales=scales,
        )
