"""One trajectory, many budgets: where branches leave the trunk, and what learning rate each part has.

A budget of B sequences is met exactly: the trunk's T plus the branch's B − T, where T = B / (1 + anneal_share) rounded
to whole steps. The branch reads on in the data order while its rate falls; the trunk later reads the same sequences at
its own rate. Without annealing the branch is only the remainder that fills no step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Whether the learning rate of every state has fallen to where decays end."""
    branch_shape: str | None = None
    """How the rate of a branch falls; None where branches follow the trunk's schedule."""
    floor: float = 0.0
    """The rate at which branches end."""

    @property
    def sequences(self) -> int:
        """Sequences trained on: the trunk's and every branch's."""
        return self.points[-1].branch + sum(point.end - point.branch for point in self.points)

    def rates(self, point: Point) -> Schedule | Annealed:
        """The schedule of the branch to ``point``."""
        if self.branch_shape is None:
            return self.schedule
        return Annealed(self.schedule, point.branch, point.end, self.branch_shape, self.floor)


def state_name(kind: str, budget: float) -> str:
    """The name of a state: ``ptpp15``, ``ptpp0.5``, ``atpp4``, ``tokens1000000``."""
    number = str(int(budget)) if float(budget).is_integer() else f"{budget:g}"
    return f"{kind}{number}"


def plan_trajectory(kind: str, budgets: Sequence[float], tokens_per_unit: int, training: Training) -> Trajectory:
    """Lay out the trajectory through ``budgets`` (in units of ``tokens_per_unit`` tokens), to the nearest sequence.

    Warm-up takes ``warmup_tokens``, or ``warmup_share`` of the largest budget, at most half of the smallest trunk. With
    ``warmup_tokens`` and a constant trunk (``constant``, ``wsd``) a budget's steps and rates do not depend on the
    other budgets. ``ConfigError`` when a decaying schedule is asked to serve several budgets, ``wsd`` not to anneal,
    warm-up to outlast the smallest trunk, a budget to be less than one sequence, or two to be one.
    """
    if training.decays and len(budgets) > 1:
        raise ConfigError(
            f"training.schedule {training.schedule!r} cannot serve {len(budgets)} budgets: it decays towards one",
            "Use schedule: constant, wsd or infinite with anneal_share, or one run per budget.",
        )
    if training.schedule == "wsd" and training.anneal_share == 0:
        raise ConfigError(
            "training.schedule 'wsd' has no decay: anneal_share is 0", "Give an anneal_share, or schedule: constant."
        )
    points = _lay_points(kind, budgets, tokens_per_unit, training)
    total, first = points[-1].end, points[0]
    warmup = _warm_up(training, total, first.branch or first.end, first.state)
    floor = training.min_lr_share * training.lr
    shape = None if training.decays or training.anneal_share == 0 else training.anneal_shape
    trunk = TRUNKS[training.schedule](training, warmup, total)
    return Trajectory(points, trunk, training.decays or shape is not None, shape, floor)


def _lay_points(kind: str, budgets: Sequence[float], tokens_per_unit: int, training: Training) -> tuple[Point, ...]:
    step = training.batch_sequences * training.accumulate
    share = 0.0 if training.decays else training.anneal_share
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
    return tuple(points)


def _warm_up(training: Training, total: int, smallest: int, state: str) -> float:
    """Sequences of warm-up."""
    if training.warmup_tokens is None:
        return min(training.warmup_share * total, smallest / 2)
    warmup = training.warmup_tokens / training.sequence
    if warmup > smallest:
        raise ConfigError(
            f"training.warmup_tokens: {training.warmup_tokens:,} tokens outlast the {smallest * training.sequence:,} "
            f"before {state} leaves the trunk",
            "Shorten the warm-up, or leave the smallest budget out.",
        )
    return warmup


def _constant(training: Training, warmup: float, total: int) -> Schedule:
    return Schedule(training.lr, warmup)


def _decaying(training: Training, warmup: float, total: int) -> Schedule:
    floor = training.min_lr_share * training.lr
    return Schedule(training.lr, warmup, training.schedule, total - warmup, floor)


def _infinite(training: Training, warmup: float, total: int) -> Schedule:
    """Warm-up, cosine cool-down, constant; annealed by branches alone (2403.08763, section 7.4)."""
    floor = training.constant_lr_share * training.lr
    return Schedule(training.lr, warmup, "cosine", training.cooldown_share * total, floor)


TRUNKS: dict[str, Callable[[Training, float, int], Schedule]] = {
    "constant": _constant,
    "wsd": _constant,
    "cosine": _decaying,
    "linear": _decaying,
    "infinite": _infinite,
}
"""The trunk's schedule from warm-up and largest budget, both in sequences."""
