"""How long the rest of the queue will take: expected seconds per run, placed on the slots in the queue's order."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from engine.spec.run import RunSpec

PRIOR_FLOPS_PER_S = {"cpu": 3.5e10, "gpu": 2e13}
"""Before anything was observed: one core on models of a tenth of a million parameters (measured: 3.7e10 to 5e10); one
GPU on larger ones (a guess)."""
PRIOR_S = {"prepare": 10.0, "similarity": 5.0, "fit": 5.0}
OVERHEAD_S = 0.5
"""Opening data, building the model, writing results."""


class Pace:
    """Expected seconds of a run: a prior, scaled by how finished runs of its kind compared with theirs."""

    def __init__(self, device: str) -> None:
        self._rate = PRIOR_FLOPS_PER_S[device]
        self._seen: dict[str, tuple[float, float]] = {}
        self._supposed: dict[str, tuple[float, float]] = {}

    def observe(self, spec: RunSpec, seconds: float) -> None:
        """Learn from a finished run."""
        self._add(self._seen, spec, seconds)

    def suppose(self, running: Iterable[tuple[RunSpec, float]]) -> None:
        """Learn for now from runs that run, and the seconds they say they will have taken; forgets earlier ones."""
        self._supposed = {}
        for spec, seconds in running:
            self._add(self._supposed, spec, seconds)

    def expect(self, spec: RunSpec) -> float:
        """Seconds the run should take on one slot."""
        expected, took = self._known(spec.job.kind)
        if not expected:
            # A kind not seen yet: what runs whose work is counted in FLOPs have shown.
            known = [self._known(kind) for kind in ("pretrain", "adapt")]
            expected, took = sum(prior for prior, _ in known), sum(seconds for _, seconds in known)
        return self._prior(spec) * (took / expected if expected else 1.0)

    def _add(self, known: dict[str, tuple[float, float]], spec: RunSpec, seconds: float) -> None:
        expected, took = known.get(spec.job.kind, (0.0, 0.0))
        known[spec.job.kind] = expected + self._prior(spec), took + seconds

    def _known(self, kind: str) -> tuple[float, float]:
        seen, supposed = self._seen.get(kind, (0.0, 0.0)), self._supposed.get(kind, (0.0, 0.0))
        return seen[0] + supposed[0], seen[1] + supposed[1]

    def _prior(self, spec: RunSpec) -> float:
        return OVERHEAD_S + PRIOR_S.get(spec.job.kind, 0.0) + spec.cost_flops / self._rate


def makespan(
    running: Mapping[str, float],
    queued: Sequence[RunSpec],
    slots: int,
    expect: Callable[[RunSpec], float],
    widths: Mapping[str, int] | None = None,
) -> float:
    """Seconds until everything is finished: ``running`` gives remaining seconds by run, ``queued`` the order.

    Needs that are neither running nor queued count as met. Simulates the scheduler: whenever a slot is free, the
    first run in order whose needs are met starts, or waits until as many slots are free as it has processes.
    ``widths`` gives the slots that running runs take up, where it is more than one.
    """
    unmet = {spec.run_id: sum(need in running for need in spec.needs) for spec in queued}
    waiting_for: dict[str, list[RunSpec]] = defaultdict(list)
    place = {spec.run_id: index for index, spec in enumerate(queued)}
    for spec in queued:
        unmet[spec.run_id] += sum(need in place for need in spec.needs)
        for need in spec.needs:
            waiting_for[need].append(spec)
    ready = [(place[spec.run_id], spec.run_id) for spec in queued if not unmet[spec.run_id]]
    heapq.heapify(ready)
    widths = widths or {}
    ends = [(seconds, run_id, widths.get(run_id, 1)) for run_id, seconds in running.items()]
    heapq.heapify(ends)
    free = slots - sum(width for _, _, width in ends)
    now = 0.0
    while ready or ends:
        while ready and (width := min(queued[ready[0][0]].resources.ranks_per_node, slots)) <= free:
            index, run_id = heapq.heappop(ready)
            heapq.heappush(ends, (now + expect(queued[index]), run_id, width))
            free -= width
        now, ended, width = heapq.heappop(ends)
        free += width
        for spec in waiting_for[ended]:
            unmet[spec.run_id] -= 1
            if not unmet[spec.run_id]:
                heapq.heappush(ready, (place[spec.run_id], spec.run_id))
    return now
