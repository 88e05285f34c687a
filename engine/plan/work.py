"""What a run does, exactly: its trajectory's tokens and steps, what it scores, and what sharing saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.cost import count_evaluated, count_flops
from engine.plan.shape import Shape
from engine.plan.trajectory import Trajectory, plan_trajectory
from engine.spec.run import Evaluation, Method, Training

FULL = Method()


@dataclass(frozen=True)
class Work:
    """One run's work. Tokens trained and steps are exactly those of the run; tokens scored are at most these."""

    n_params: int
    """N of the model; 0 where it is not known."""
    shape: Shape | None = None
    """The model's dimensions, where they are known."""
    states: int = 0
    """Budgets along the trajectory."""
    sequences: int = 0
    """Sequences read up to the largest budget: those of the data order, which branches read over again."""
    trained_tokens: int = 0
    trained_flops: int = 0
    """FLOPs of one trained token."""
    steps: int = 0
    evaluated_tokens: int = 0
    apart_tokens: int = 0
    """What the same states would take to train if each began anew."""

    @property
    def flops(self) -> float:
        """Of all trained tokens, and 2·N per evaluated one; 0 where N is not known."""
        return float(self.trained_flops * self.trained_tokens + 2 * self.n_params * self.evaluated_tokens)


def plan_training(
    kind: str,
    budgets: Sequence[float],
    tokens_per_unit: int,
    training: Training,
    *,
    n_params: int,
    evaluation: Evaluation,
    shape: Shape | None = None,
    scored_models: int = 1,
    method: Method = FULL,
) -> Work:
    """The work of one trajectory through ``budgets``; each state is scored as itself and ``scored_models - 1`` blends.

    What an adapter trains is that of all linear layers, and nothing where the model's shape is not known.

    ``ConfigError`` as ``plan_trajectory``.
    """
    trajectory = plan_trajectory(kind, budgets, tokens_per_unit, training)
    alone = [plan_trajectory(kind, (budget,), tokens_per_unit, training) for budget in budgets]
    steps = count_steps(trajectory, training)
    validations = steps // training.validate_every if training.validate_every else 0
    scored = len(budgets) * scored_models * count_evaluated(evaluation) + validations * training.validate_tokens
    n_trained = n_params if method.name == "full" else shape.count_trained(method) if shape else 0
    return Work(
        n_params=n_params,
        shape=shape,
        trained_flops=count_flops(n_params, n_trained, held=any(mask.treat == "kl" for mask in training.masks)),
        states=len(budgets),
        sequences=trajectory.points[-1].end,
        trained_tokens=trajectory.sequences * training.sequence,
        steps=steps,
        evaluated_tokens=scored,
        apart_tokens=sum(one.sequences for one in alone) * training.sequence,
    )


def count_steps(trajectory: Trajectory, training: Training) -> int:
    """Optimizer steps: the trunk's between branches, and every branch's."""
    per_step = training.batch_sequences * training.accumulate
    starts = (0, *(point.branch for point in trajectory.points))
    trunk = sum(
        math.ceil((point.branch - start) / per_step) for start, point in zip(starts, trajectory.points, strict=False)
    )
    return trunk + sum(math.ceil((point.end - point.branch) / per_step) for point in trajectory.points)
