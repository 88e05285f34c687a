"""A plan: the runs an experiment expands into, in an order that respects their needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.plan.known import Known
from engine.plan.work import Work
from engine.spec.run import RunSpec


@dataclass(frozen=True)
class Plan:
    """Everything needed to submit an experiment."""

    name: str
    key: str
    """Content key of the experiment as resolved."""
    runs: tuple[RunSpec, ...]
    """In dependency order."""
    work: Mapping[str, Work]
    """By run_id, of the runs that train or score models."""
    cautions: tuple[str, ...]
    known: Known
    """What was looked up before."""
    document: str
    """The experiment with overrides applied and paths absolute, as YAML that can be launched again."""

    def priorities(self) -> dict[str, float]:
        """For each run, its cost in FLOPs plus that of the costliest chain of runs that wait for it.

        Starting the longest chain first is the usual list-scheduling rule (HLFET) for few slots.
        """
        below = {run.run_id: 0.0 for run in self.runs}
        for run in reversed(self.runs):
            chain = below[run.run_id] + run.cost_flops
            for need in run.needs:
                if need in below:
                    below[need] = max(below[need], chain)
        return {run.run_id: below[run.run_id] + run.cost_flops for run in self.runs}
