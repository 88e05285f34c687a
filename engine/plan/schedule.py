"""Learning rates as functions of the position in the data, in sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0))),
    "linear": lambda done: max(0.0, 1.0 - done),
}
"""Factor on the peak rate after the share ``done`` of the decay; both decays end at zero."""


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to ``peak`` over ``warmup`` sequences, then ``shape`` until ``total``."""

    shape: str
    peak: float
    warmup: float
    total: int

    def rate(self, position: float) -> float:
        """The learning rate of a step whose sequences are centred on ``position``."""
        if position < self.warmup:
            return self.peak * position / self.warmup
        return self.peak * SHAPES[self.shape]((position - self.warmup) / max(self.total - self.warmup, 1))


@dataclass(frozen=True)
class Annealed:
    """A branch off ``trunk``: its rate times a factor that falls linearly from 1 at ``start`` to 0 at ``end``."""

    trunk: Schedule
    start: int
    end: int

    def rate(self, position: float) -> float:
        """The learning rate of a step whose sequences are centred on ``position``."""
        return self.trunk.rate(position) * (self.end - position) / (self.end - self.start)
