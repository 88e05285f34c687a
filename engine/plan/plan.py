"""A plan: the runs an experiment expands into, in an order that respects their needs, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from engine.spec.run import RunSpec


@dataclass(frozen=True)
class Totals:
    """Sums over a plan's runs."""

    runs: int
    by_kind: Mapping[str, int]
    points: int
    """Model states that are trained and evaluated."""
    tokens: int
    """Tokens trained on; 0 where a base of unknown size makes them unknown."""
    tokens_unshared: int
    """Tokens that the same points would take if each was trained on its own."""
    flops: float

    @property
    def shared(self) -> float:
        """Share of the unshared training that trajectories save, from 0 to 1."""
        return 1 - self.tokens / self.tokens_unshared if self.tokens_unshared else 0.0


@dataclass(frozen=True)
class RunTokens:
    """Training tokens of one run, and its points."""

    trained: int
    separate: int
    points: int


@dataclass(frozen=True)
class Plan:
    """Everything needed to submit an experiment."""

    name: str
    key: str
    """Content key of the experiment as resolved."""
    runs: tuple[RunSpec, ...]
    """In dependency order."""
    tokens: Mapping[str, RunTokens]
    """By run_id, of the runs that train."""
    cautions: tuple[str, ...]
    document: str
    """The experiment with overrides applied and paths absolute, as YAML that can be launched again."""

    @property
    def totals(self) -> Totals:
        """Sums over all runs, whether some exist already or not."""
        return sum_runs(self, self.runs)

    def priorities(self) -> dict[str, float]:
        """Remaining work along the longest chain that starts with each run, in FLOPs: the largest goes first."""
        return chain_costs(self.runs)


def sum_runs(plan: Plan, runs: tuple[RunSpec, ...]) -> Totals:
    """Sums over some of a plan's runs, for example those that do not exist yet."""
    trained = [plan.tokens[run.run_id] for run in runs if run.run_id in plan.tokens]
    return Totals(
        runs=len(runs),
        by_kind=Counter(run.job.kind for run in runs),
        points=sum(tokens.points for tokens in trained),
        tokens=sum(tokens.trained for tokens in trained),
        tokens_unshared=sum(tokens.separate for tokens in trained),
        flops=sum(run.cost_flops for run in runs),
    )


def chain_costs(runs: tuple[RunSpec, ...]) -> dict[str, float]:
    """For each run, in dependency order given, its cost plus that of the costliest chain of runs that wait for it.

    Starting the longest chain first is the usual list-scheduling rule (HLFET) for few slots.
    """
    below = {run.run_id: 0.0 for run in runs}
    for run in reversed(runs):
        chain = below[run.run_id] + run.cost_flops
        for need in run.needs:
            if need in below:
                below[need] = max(below[need], chain)
    return {run.run_id: below[run.run_id] + run.cost_flops for run in runs}
