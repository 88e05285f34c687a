"""Tiny runs by the hundred on two slots: how much of the time the slots work, and how soon a run begins.

Two queues, each executed whole by the real scheduler and its workers: adaptations of a model of some thousand
parameters (seconds each, all of them work), and runs that only wait for a second (nothing but the queue's own cost).
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import Comparison, Contender, Metric, alternate, arguments, conclude

ROOT = Path(__file__).resolve().parent.parent
GOAL = "slots busy ≥ 95 % of the time; ≤ 4 s from the command to the first step of the first run on a CPU"
SLOTS = 2
METRICS = (
    Metric("busy_percent", "slots busy", "%"),
    Metric("gap_ms", "between two runs of a slot, median", "ms", more_is_better=False),
    Metric("gap_longest_ms", "longest", "ms", more_is_better=False),
    Metric("cold_s", "command to first step", "s", more_is_better=False),
    Metric("warm_ms", "assignment to first step, warm", "ms", more_is_better=False),
    Metric("run_s", "a run, median", "s", more_is_better=False),
    Metric("scheduler_percent", "scheduler's CPU, of a core", "%", more_is_better=False),
    Metric("wall_s", "wall, all", "s", more_is_better=False),
)


def main() -> None:
    parser = arguments("queue", __doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="runs of each queue (default 200)")
    options = parser.parse_args()
    runs = min(options.runs, 20) if options.quick else options.runs
    contenders = [_contender("adaptations", "adapt", runs), _contender("waiting for 1 s", "wait", runs)]
    measured = alternate(contenders, 1)
    title = f"{runs} runs on {SLOTS} slots; busy between the first start and the last end, by the runs' journals"
    conclude("queue", [Comparison(title, tuple(measured), METRICS, "", GOAL)], options, runs=runs, slots=SLOTS)


def _contender(name: str, kind: str, runs: int) -> Contender:
    environment = {
        "OMP_NUM_THREADS": "1",
        "ODYSSEY_SLOTS": str(SLOTS),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(ROOT),
    }
    return Contender(name, (sys.executable, "-m", "bench.queueing.work", kind, str(runs)), environment)


if __name__ == "__main__":
    main()
