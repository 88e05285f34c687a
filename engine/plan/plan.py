"""A plan: the runs an experiment expands into, in an order that respects their needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
    blocks: Mapping[str, tuple[int, ...]]
    """By run_id: the adaptation blocks whose cells an adaptation is, or what is measured of its states afterwards."""

    whole: Plan | None = None
    """What this was cut from."""

    def of_block(self, block: int) -> Plan:
        """The plan cut to the cells of one adaptation block, and everything that they need."""
        specs = {run.run_id: run for run in self.runs}
        wanted: set[str] = set()
        waiting = [run_id for run_id, asking in self.blocks.items() if block in asking]
        while waiting:
            run_id = waiting.pop()
            if run_id not in wanted:
                wanted.add(run_id)
                waiting.extend(specs[run_id].needs)
        return replace(self, runs=tuple(run for run in self.runs if run.run_id in wanted), whole=self.whole or self)

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
