"""A PTPP × ATPP × ρ grid along shared trajectories, against the same grid as separate runs; and what that changes.

Both are the same engine: ``share: true`` trains one trajectory through all budgets with an annealed branch at each,
``share: false`` every state from its start. A second seed of the separate grid says what differences mean nothing.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.harness import Comparison, Contender, Measured, Metric, alternate, arguments, conclude

ROOT = Path(__file__).resolve().parent.parent
SHARED, SEPARATE, OTHER_SEED = "shared trajectories", "separate runs", "separate runs, another seed"
GOAL = "≤ 0.45× the time of separate runs, a ratio of at least 2.2; losses within seed noise"
METRICS = (
    Metric("busy_s", "runs' time", "s", more_is_better=False),
    Metric("cpu_s", "CPU, all", "s", more_is_better=False),
    Metric("wall_s", "wall, all", "s", more_is_better=False),
    Metric("tokens", "tokens trained", more_is_better=False),
    Metric("runs", "runs", more_is_better=False),
)
EXPERIMENT = """\
name: sweep
corpora:
  source: {{source: "installation:source", max_bytes: 1.5MB}}
  tests: {{source: "installation:tests", max_bytes: 1MB}}
tokenizer: {{train_on: source, vocab_size: 512}}
base:
  corpora: source
  sizes: {{s: {{n_layer: 1, n_embd: {width}, n_head: 2}}}}
  context: 64
  ptpp: {ptpp}
  share: {share}
  training: {{lr: 3e-3, sequence: 64, batch_sequences: 32}}
adapt:
  - {{domain: tests, replay_ratio: [0, 0.1, 0.25, 0.5], atpp: {atpp}, share: {share}, keep: none}}
adapt_training: {{lr: 1e-3, sequence: 64, batch_sequences: 16}}
seeds: [{seed}]
evaluate: {{max_tokens: {scored}}}
"""
FULL = {"width": 32, "ptpp": [8, 16, 24], "atpp": [1, 2, 3, 4], "scored": 10_000}
QUICK = {"width": 16, "ptpp": [2, 4, 6], "atpp": [0.5, 1, 1.5, 2], "scored": 4_000}


def main() -> None:
    options = arguments("sweep", __doc__.splitlines()[0]).parse_args()
    grid = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="bench-sweep-") as folder:
        contenders = [
            _contender(Path(folder), SHARED, grid, share=True, seed=0),
            _contender(Path(folder), SEPARATE, grid, share=False, seed=0),
            _contender(Path(folder), OTHER_SEED, grid, share=False, seed=1),
        ]
        measured = alternate(contenders, 1)
    notes, differences = _compare(measured)
    title = "3 PTPP × 4 ATPP × 4 ρ, one core, one worker; runs' time leaves out reading the texts"
    comparison = Comparison(title, tuple(measured), METRICS, SEPARATE, GOAL, notes)
    conclude("sweep", [comparison], options, grid=grid, differences=differences)


def _contender(folder: Path, name: str, grid: Mapping[str, Any], *, share: bool, seed: int) -> Contender:
    path = folder / f"{'shared' if share else 'separate'}-{seed}.yaml"
    path.write_text(EXPERIMENT.format(**grid, share=str(share).lower(), seed=seed))
    environment = {"OMP_NUM_THREADS": "1", "ODYSSEY_SLOTS": "1", "PYTHONPATH": str(ROOT)}
    return Contender(name, (sys.executable, "-m", "bench.sweeping.grid", str(path)), environment)


def _compare(measured: list[Measured]) -> tuple[tuple[str, ...], dict[str, dict[str, float]]]:
    """Differences of the losses of all cells, in nats: by sharing, and by another seed."""
    losses = {one.name: one.repetitions[0]["losses"] for one in measured if one.repetitions}
    if len(losses) < len(measured):
        return ("losses: not compared, a contender is missing",), {}
    notes, differences = [], {}
    for role in "target", "base":
        cells = [cell for cell in losses[SEPARATE] if cell.endswith(role)]
        sharing = [losses[SHARED][cell] - losses[SEPARATE][cell] for cell in cells]
        seeds = [losses[OTHER_SEED][cell] - losses[SEPARATE][cell] for cell in cells]
        found = {
            "cells": len(cells),
            "sharing_rms": _rms(sharing),
            "sharing_mean": sum(sharing) / len(cells),
            "sharing_largest": max(map(abs, sharing)),
            "seed_rms": _rms(seeds),
            "seed_largest": max(map(abs, seeds)),
        }
        differences[role] = found
        verdict = "within" if found["sharing_rms"] <= found["seed_rms"] else "beyond"
        notes.append(
            f"{role} loss, {len(cells)} cells: sharing changes it by {found['sharing_rms']:.4f} nats rms (mean "
            f"{found['sharing_mean']:+.4f}, largest {found['sharing_largest']:.4f}), another seed by "
            f"{found['seed_rms']:.4f} (largest {found['seed_largest']:.4f}): {verdict} seed noise"
        )
    return tuple(notes), differences


def _rms(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


if __name__ == "__main__":
    main()
