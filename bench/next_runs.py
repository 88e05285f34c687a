"""Following the ranking of next runs against choosing at random for the same compute, on simulated truth.

``python -m bench.next_runs [--truth FORM] [--form FORM] [--sizes 1|3] [--stages 15,31,279]``: a grid of three sizes at
PTPP 15 and 31 is simulated (0.4 % noise a run, 0.3 % a state), FORM fitted, runs are chosen and added, and the law is
fitted again: its error at the largest size, PTPP 279, replay .1 and ATPP 8, over repeated truths.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.fitting.setting import SIZES, TRUTH_AT
from engine.laws.features import Scales, features
from engine.laws.fit import Fit, FitOptions, fit
from engine.laws.form import Form
from engine.laws.forms import find_form
from engine.laws.next_run import Forecasts, Noise, rank_runs
from engine.laws.points import Floats, Points, concatenate

Run = tuple[float, float, float, tuple[float, ...]]
"""N, PTPP, replay ratio, ATPP along the trajectory."""
GOAL: Run = (SIZES[-1], 279.0, 0.1, (8.0,))
MEASURED: list[Run] = [(n, p, rho, (1, 2, 4)) for n in SIZES for p in (15.0, 31.0) for rho in (0.0, 0.25, 0.5)]
RATIOS, BUDGETS = (0.0, 0.1, 0.25, 0.375, 0.5), ((1,), (1, 2), (1, 2, 4), (1, 2, 4, 8))
RUN_NOISE, STATE_NOISE, SPREAD = 0.004, 0.003, 0.2
BUDGET = 2.0
"""Compute of what is added, in runs of the median cost."""


def points_of(run: Run) -> Points:
    """The states of a run, their losses 1."""
    n, p, rho, atpp = run
    q = (900 / n**0.7 + 80 / (n * p) ** 0.4) + 2.2
    columns = {"run": str(run), "n_params": n, "ptpp": p, "replay_ratio": rho, "share": 1 - rho, "loss": 1.0}
    return Points.from_columns({**columns, "quality": q, "atpp": np.array(atpp, dtype=float)}, length=len(atpp))


def measure(run: Run, form: Form, u: Floats, scales: Scales, rng: np.random.Generator) -> Points:
    """The run's losses by the truth ``u``, with noise of run and states."""
    points = points_of(run)
    noise = RUN_NOISE * rng.standard_normal() + STATE_NOISE * rng.standard_normal(len(points))
    return replace(points, loss=form.value(u[None], features(points, scales))[0] * np.exp(noise))


def within(order: Sequence[int], costs: Floats, budget: float) -> list[int]:
    """The runs of ``order`` that can be paid, in that order."""
    taken: list[int] = []
    for index in order:
        if costs[index] <= budget - costs[taken].sum():
            taken.append(index)
    return taken


def try_once(truth: Form, form: Form, candidates: list[Run], seed: int) -> dict[str, tuple[float, int]]:
    """By way to choose, the error |ln L̂ − ln L| at the goal and how many runs were added."""
    rng = np.random.default_rng([seed, 11])
    scales = Scales.of(concatenate([points_of(run) for run in MEASURED]))
    low, high = (truth.to_u([parameter.start[side] for parameter in truth.parameters]) for side in (0, 1))
    u = low + np.clip(TRUTH_AT + SPREAD * rng.uniform(-1, 1, len(low)), 0, 1) * (high - low)
    base = concatenate([measure(run, truth, u, scales, rng) for run in MEASURED])
    added = [measure(run, truth, u, scales, rng) for run in candidates]
    costs = np.array([6 * run[0] ** 2 * run[3][-1] for run in candidates], dtype=float)
    goal = points_of(GOAL)
    right = np.log(truth.value(u[None], features(goal, scales))[0, 0])

    def error(fitted: Fit) -> float:
        return float(abs(np.log(fitted.law.predict(goal)[0]) - right))

    first = fit(form, base, FitOptions(starts=40, bootstrap=100, seed=seed))
    ends = np.cumsum([0, *(len(points) for points in added)])
    states = [list(range(ends[index], ends[index + 1])) for index in range(len(added))]
    with np.errstate(all="ignore"):
        drawn = np.log(first.law.predict_draws(concatenate(added)))
        forecasts = Forecasts(np.log(first.law.predict_draws(goal)[:, 0]), drawn, Noise.of(first.law, first.points))
    budget = BUDGET * float(np.median(costs))
    ranked = [choice.run for choice in rank_runs({"target": forecasts}, states, costs, 40)]
    found = {"nothing added": (error(first), 0)}
    for way, order in (("ranked", ranked), ("at random", rng.permutation(len(added)).tolist())):
        chosen = within(order, costs, budget)
        points = concatenate([base, *(added[index] for index in chosen)])
        found[way] = error(fit(form, points, FitOptions(starts=40, bootstrap=0, seed=seed))), len(chosen)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.next_runs", description=__doc__.splitlines()[0])
    parser.add_argument("--truth", default="ptpp_gated_floor", metavar="FORM")
    parser.add_argument("--form", default="", help="what is fitted; without: the truth's form")
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many sizes may run, the smallest first")
    parser.add_argument("--stages", default="15,31,279", help="PTPP of the base states there are")
    parser.add_argument("--repeat", type=int, default=24)
    options = parser.parse_args()
    truth = find_form(options.truth)
    form = find_form(options.form) if options.form else truth
    stages = [float(part) for part in options.stages.split(",")]
    known = {run[:3] for run in MEASURED}
    runs = [(n, p, rho, a) for n in SIZES[: options.sizes] for p in stages for rho in RATIOS for a in BUDGETS]
    candidates = [run for run in runs if run[:3] not in known]
    tried = [try_once(truth, form, candidates, seed) for seed in range(options.repeat)]
    print(f"truth {truth.name}, fitted {form.name}, {options.sizes} sizes, PTPP {options.stages}: {len(tried)} truths")
    for way in tried[0]:
        errors, counts = (np.array([one[way][place] for one in tried]) for place in (0, 1))
        print(f"{way:<14} rms error {100 * np.sqrt(np.mean(errors**2)):5.2f} %   runs {counts.mean():4.1f}")
    gain = [one["at random"][0] - one["ranked"][0] for one in tried]
    print(f"ranked better by {100 * np.mean(gain):+.2f} ± {100 * np.std(gain) / np.sqrt(len(gain)):.2f} % on average")


if __name__ == "__main__":
    main()
