"""Measures of similarity: seconds of a large comparison, and how often their intervals hold what they should.

No peer computes intervals, so nothing is compared. Coverage: pairs of samples from known distributions, 64 documents of
two windows each; of so many 95 % intervals the share that holds the mean value over all pairs is to be .95.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker and the command set it

import numpy as np

from bench.harness import arguments, machine, versions
from engine.similarity.comparison import View
from engine.similarity.estimate import estimate
from engine.similarity.measures import REGISTRY, Measure, Scale
from store.errors import DataError

DOMAINS, SAMPLES, LENGTH = 20, 256, 64
EMBEDDERS = {"ngrams": 1024, "model": 128, "sentence": 384}
DOCUMENTS, WINDOWS, RESAMPLES = 64, 2, 200
SHIFTS = (0.0, 0.3, 1.0)


def main() -> None:
    parser = arguments("similarity", __doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=400, help="pairs of samples for each coverage")
    options = parser.parse_args()
    print(f"bench.similarity on {machine()['cpu']}; " + ", ".join(f"{k} {v}" for k, v in versions().items()))
    print(f"\n{DOMAINS} domains, {SAMPLES} samples of {LENGTH} tokens, {RESAMPLES} resamples: seconds (of processor)")
    seconds = dict(time_comparison(4 if options.quick else DOMAINS))
    for name, (wall_s, cpu_s) in seconds.items():
        print(f"  {name:24}{wall_s:8.2f}{cpu_s:8.2f}")
    print(f"  {'all':24}" + "".join(f"{sum(values):8.2f}" for values in zip(*seconds.values(), strict=True)))
    pairs = options.pairs // 8 if options.quick else options.pairs
    print(f"\ncoverage of 95 % intervals, {pairs} pairs, at shifts {', '.join(map(str, SHIFTS))} (0: the same text);")
    print("and their mean width over that of ±1.96 standard deviations of the values")
    coverages = {}
    for name, measure in REGISTRY.items():
        coverages[name] = [cover(measure, shift, pairs) for shift in SHIFTS]
        cells = "".join(f"   {one['coverage']:5.3f} ×{one['width']:4.2f}" for one in coverages[name])
        print(f"  {name:16}{cells}", flush=True)
    if options.json:
        content = {"machine": machine(), "versions": versions(), "seconds": seconds, "coverage": coverages}
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n")


def time_comparison(domains: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """Seconds by the clock and of the processor for every measure through every embedder."""
    rng = np.random.default_rng(0)
    groups = np.arange(SAMPLES) // 2
    views = [View(name, "", "", *vectors(rng, domains, dim), measures("embedding")) for name, dim in EMBEDDERS.items()]
    tokens = [rng.zipf(1.2, (SAMPLES, LENGTH)) % 50_000 for _ in range(domains + 1)]
    views.append(View("tokens", "", "", tokens[0], tuple(tokens[1:]), measures("tokens")))
    for view in views:
        for measure in view.measures:
            wall, cpu = time.perf_counter(), time.process_time()
            scale = Scale(view.bandwidth if measure.reads_bandwidth else 0.0, 0)
            try:
                for rows in view.domains:
                    estimate(measure, rows, view.reference, groups, groups, scale, resamples=RESAMPLES)
            except DataError:
                continue  # Fréchet refuses vectors of so many dimensions
            yield f"{measure.name} · {view.embedder}", (time.perf_counter() - wall, time.process_time() - cpu)


def vectors(rng: np.random.Generator, domains: int, dim: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    reference, *rest = rng.standard_normal((domains + 1, SAMPLES, dim))
    return reference, tuple(rows + 0.1 * rng.standard_normal(dim) for rows in rest)


def measures(what: str) -> tuple[Measure, ...]:
    return tuple(measure for measure in REGISTRY.values() if measure.reads == what)


def cover(measure: Measure, shift: float, pairs: int) -> dict[str, Any]:
    """Share of intervals that hold the mean value, and their width; the mean is of four times as many pairs."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(DOCUMENTS), WINDOWS)
    draw = draw_tokens if measure.reads == "tokens" else draw_vectors
    values, intervals = [], []
    for number in range(4 * pairs):
        x, y = draw(rng, shift), draw(rng, 0.0)
        resamples = RESAMPLES if number < pairs else 0
        found = estimate(measure, x, y, groups, groups, Scale(3.0, number), resamples=resamples)
        values.append(found.value)
        if resamples:
            intervals.append((found.low, found.high))
    low, high = np.array(intervals).T
    mean, spread = np.mean(values), 2 * 1.96 * np.std(values)
    return {
        "shift": shift,
        "mean": float(mean),
        "coverage": float(np.mean((low <= mean) & (mean <= high))),
        "width": float(np.mean(high - low) / spread),
    }


def draw_vectors(rng: np.random.Generator, shift: float) -> np.ndarray:
    """Gaussian rows of 8 dimensions, those of a document around a centre of its own."""
    centres = np.repeat(0.6 * rng.standard_normal((DOCUMENTS, 8)), WINDOWS, axis=0)
    return centres + 0.8 * rng.standard_normal((DOCUMENTS * WINDOWS, 8)) + 0.5 + shift * np.eye(8)[0]


def draw_tokens(rng: np.random.Generator, shift: float) -> np.ndarray:
    """Tokens by Zipf's law, each document with a distribution of its own; ``shift`` turns the order of the top 40."""
    p = 1 / np.arange(1, 401)
    turned = np.concatenate([p[:40][::-1], p[40:]])
    mixed = (1 - shift) * p + shift * turned
    mixed /= mixed.sum()
    return np.concatenate([rng.choice(400, (WINDOWS, 32), p=rng.dirichlet(mixed * 200)) for _ in range(DOCUMENTS)])


if __name__ == "__main__":
    main()
