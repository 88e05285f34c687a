"""Learning rates as functions of the position in the data, in sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "sqrt": lambda done: 1.0 - math.sqrt(done),
}
"""Factor after the share ``done`` (0 … 1) of a decay, from 1 to 0; ``sqrt`` is 1 − √done (2405.18392)."""


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to ``peak`` over ``warmup`` sequences, a decay to ``floor`` over ``decay`` more, then ``floor``.

    Without a decay (``shape`` None) the rate stays at its peak.
    """

    peak: float
    warmup: float
    shape: str | None = None
    decay: float = 0.0
    floor: float = 0.0

    def rate(self, position: float) -> float:
        """The learning rate of a step whose sequences are centred on ``position``."""
        if position < self.warmup:
            return self.peak * position / self.warmup
        if self.shape is None:
            return self.peak
        done = min((position - self.warmup) / self.decay, 1.0) if self.decay > 0 else 1.0
        return self.floor + (self.peak - self.floor) * DECAYS[self.shape](done)


@dataclass(frozen=True)
class Annealed:
    """A branch off ``trunk``: the trunk's rate, falling in ``shape`` to ``floor`` between ``start`` and ``end``."""

    trunk: Schedule
    start: int
    end: int
    shape: str = "linear"
    floor: float = 0.0

    def rate(self, position: float) -> float:
        """The learning rate of a step whose sequences are centred on ``position``."""
        done = (position - self.start) / (self.end - self.start)
        return self.floor + (self.trunk.rate(position) - self.floor) * DECAYS[self.shape](done)
