"""Making the runs that ``rank_runs`` names against making others of the same cost, on a simulated truth.

The question is a loss at a PTPP three times beyond the pool's. From eight runs, two more of the largest size are chosen
by rank, or at random; the law is fitted again and its error at the question compared. Seeds are fixed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from engine.laws.fit import FitOptions, fit
from engine.laws.forms import REGISTRY
from engine.laws.law import Law
from engine.laws.next_run import Forecasts, Noise, rank_runs
from engine.laws.points import Points

FORM = REGISTRY["ptpp_additive"]
SIZES, PTPPS, RATIOS, ATPPS = (2e4, 4e4, 8e4), (5.0, 15.0, 45.0), (0.0, 0.1, 0.25, 0.5), (0.5, 2.0, 8.0)
START = (
    (2e4, 5.0, 0.0), (2e4, 5.0, 0.25), (2e4, 15.0, 0.1), (2e4, 15.0, 0.5),
    (4e4, 5.0, 0.0), (4e4, 15.0, 0.5), (4e4, 15.0, 0.1), (8e4, 5.0, 0.5),
)  # fmt: skip
QUESTION = (8e4, 135.0, 0.5, 8.0)
POOL = [run for run in itertools.product(SIZES[-1:], PTPPS, RATIOS) if run not in START]
SEEDS = range(4)
Run = tuple[float, float, float]


def truth(n, p, rho, a):
    """ptpp_additive with parameters of its own."""
    r = 1 - rho
    return 1.6 + 45 / n**0.4 + 25 / (n * p) ** 0.3 + 9 * r**0.4 / (a * n) ** 0.22 + 0.05 / (r + 0.1) ** 0.5


@dataclass(frozen=True)
class World:
    """All losses there would be, were all runs made: the same whoever chooses."""

    seed: int

    def measure(self, runs: list[Run]) -> Points:
        rng = np.random.default_rng(self.seed)
        scatter = {
            run: (0.004 * rng.standard_normal(), 0.002 * rng.standard_normal(len(ATPPS))) for run in (*START, *POOL)
        }
        rows = [(*run, a, np.exp(scatter[run][0] + scatter[run][1][k])) for run in runs for k, a in enumerate(ATPPS)]
        n, p, rho, a, noise = np.array(rows).T
        return Points.from_columns(
            {
                "run": np.repeat([f"{run}" for run in runs], len(ATPPS)),
                **{"n_params": n, "ptpp": p, "replay_ratio": rho, "share": 1 - rho, "atpp": a},
                "loss": truth(n, p, rho, a) * noise,
            }
        )

    def fit(self, runs: list[Run], bootstrap: int = 0) -> Law:
        return fit(FORM, self.measure(runs), FitOptions(starts=8, bootstrap=bootstrap, seed=self.seed)).law

    def error(self, runs: list[Run]) -> float:
        """Of ln L at the question, with these runs made besides those to start from."""
        return float(np.log(self.fit([*START, *runs]).predict(question())[0] / truth(*QUESTION)))

    def follow(self, count: int) -> list[Run]:
        """The runs that are named."""
        law = self.fit(list(START), bootstrap=60)
        states = self.measure(POOL)
        forecasts = Forecasts(
            np.log(law.predict_draws(question())[:, 0]),
            np.log(law.predict_draws(states)),
            Noise.of(law, self.measure(list(START))),
        )
        columns = [list(range(k * len(ATPPS), (k + 1) * len(ATPPS))) for k in range(len(POOL))]
        chosen = rank_runs({"target": forecasts}, columns, [1.0] * len(POOL), count)
        return [POOL[choice.run] for choice in chosen]


def question() -> Points:
    n, p, rho, a = QUESTION
    return Points.from_columns(
        {"n_params": n, "ptpp": p, "replay_ratio": rho, "share": 1 - rho, "atpp": a, "loss": np.nan}
    )


def test_following_the_list_beats_choosing_at_random() -> None:
    followed, at_random = [], []
    for seed in SEEDS:
        world, rng = World(seed), np.random.default_rng(seed)
        followed.append(world.error(world.follow(2)))
        at_random += [world.error([POOL[k] for k in rng.choice(len(POOL), 2, replace=False)]) for _ in range(2)]
    assert np.mean(np.square(followed)) < 0.7 * np.mean(np.square(at_random))
    assert np.mean(np.abs(followed)) < np.mean(np.abs(at_random))
