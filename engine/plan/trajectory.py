"""One trajectory, many budgets: where branches leave the trunk, and what learning rate each part has.

A budget of B sequences is met exactly: the trunk's T plus the branch's B − T, where T = B / (1 + anneal_share) rounded
to whole steps. The branch reads on in the data order while its rate falls to zero; the trunk later reads the same
sequences at its own rate. Without annealing the branch is only the remainder that fills no step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.plan.schedule import Annealed, Schedule
from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.spec.run import Training


@dataclass(frozen=True)
class Point:
    """A budget on the trajectory; positions count sequences from its start."""

    state: str
    budget: float
    """What was asked for, in the unit of the state's name (PTPP, ATPP or tokens)."""
    branch: int
    """Where the branch leaves the trunk."""
    end: int
    """Where the branch ends: the budget."""


@dataclass(frozen=True)
class Trajectory:
    """The points in the order the trunk passes them, and the trunk's schedule."""

    points: tuple[Point, ...]
    schedule: Schedule
    annealed: bool
    """Whether the learning rate of every state has fallen to zero."""

    @property
    def sequences(self) -> int:
        """Sequences trained on: the trunk's and every branch's."""
        return self.points[-1].branch + sum(point.end - point.branch for point in self.points)

    def rates(self, point: Point) -> Schedule | Annealed:
        """The schedule of the branch to ``point``."""
        if self.schedule.shape == "constant" and self.annealed:
            return Annealed(self.schedule, point.branch, point.end)
        return self.schedule


def state_name(kind: str, budget: float) -> str:
    """The name of a state: ``ptpp15``, ``ptpp0.5``, ``atpp4``, ``tokens1000000``."""
    number = str(int(budget)) if float(budget).is_integer() else f"{budget:g}"
    return f"{kind}{number}"


def plan_trajectory(kind: str, budgets: Sequence[float], tokens_per_unit: int, training: Training) -> Trajectory:
    """Lay out the trajectory through ``budgets`` (in units of ``tokens_per_unit`` tokens), to the nearest sequence.

    Warm-up takes ``warmup_share`` of the largest budget, at most half of the smallest trunk. ``ConfigError`` when a
    decaying schedule is asked to serve several budgets, when a budget is less than one sequence, or two are one.
    """
    if training.schedule != "constant" and len(budgets) > 1:
        raise ConfigError(
            f"training.schedule {training.schedule!r} cannot serve {len(budgets)} budgets: it decays towards one",
            "Use schedule: constant with anneal_share, or one run per budget.",
        )
    step = training.batch_sequences * training.accumulate
    share = training.anneal_share if training.schedule == "constant" else 0.0
    points: list[Point] = []
    for budget in sorted(budgets):
        end = round(budget * tokens_per_unit / training.sequence)
        if end < 1:
            raise ConfigError(
                f"{state_name(kind, budget)} is {budget * tokens_per_unit:g} tokens, less than half a sequence",
                f"Ask for at least {training.sequence / tokens_per_unit:.3g}, or shorten training.sequence.",
            )
        if points and end == points[-1].end:
            raise ConfigError(
                f"{points[-1].state} and {state_name(kind, budget)} are the same {end} sequences",
                "Leave one of them out, or shorten training.sequence.",
            )
        trunk = min(round(end / (1.0 + share) / step), end // step) * step
        if share > 0 and trunk == end:
            trunk -= step
        points.append(Point(state_name(kind, budget), budget, trunk, end))
    total = points[-1].end
    smallest = points[0].branch or points[0].end
    schedule = Schedule(training.schedule, training.lr, min(training.warmup_share * total, smallest / 2), total)
    return Trajectory(tuple(points), schedule, annealed=share > 0 or training.schedule != "constant")
