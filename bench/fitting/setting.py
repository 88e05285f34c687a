"""What all contenders fit: every form of the registry, each to points of its own with noise and a few outliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.laws.features import Features, Scales, features
from engine.laws.form import Form
from engine.laws.forms import REGISTRY
from engine.laws.points import Floats, Points
from engine.laws.starts import draw_starts
from engine.laws.usable import Dropped, bounds_of

DELTA = 1e-3
NOISE, OUTLIERS, OUTLIER = 0.005, 4, 1.08
SIZES, PTPPS, RATIOS, BUDGETS = (3.3e4, 8.7e4, 1.41e5), (15, 31), (0, 0.1, 0.25, 0.5, 0.75), (0.5, 1, 2, 4, 6, 8, 10)
TRUTH_AT = 0.4
"""Where in its start range each parameter of the truth lies."""


def points_of(form: Form) -> Points:
    """210 points in 30 runs that follow the form, with 0.5 % noise and four outliers of 8 %."""
    rows = [(n, p, rho, a) for n in SIZES for p in PTPPS for rho in RATIOS for a in BUDGETS]
    n, p, rho, a = np.array(rows, dtype=float).T
    points = Points.from_columns(
        {
            "run": [f"run-{index // len(BUDGETS)}" for index in range(len(rows))],
            "n_params": n,
            "ptpp": p,
            "atpp": a,
            "replay_ratio": rho,
            "share": rho if form.roles == ("base",) else 1 - rho,
            "loss": np.ones(len(rows)),
            "zero_shot_loss": 3.4 + 1000 / n**0.7 + 200 / (n * p) ** 0.4,
            "quality": 2.2 + 900 / n**0.7 + 80 / (n * p) ** 0.4,
        }
    )
    low, high = (form.to_u([parameter.start[side] for parameter in form.parameters]) for side in (0, 1))
    loss = form.value((low + TRUTH_AT * (high - low))[None], features(points, Scales.of(points)))[0]
    rng = np.random.default_rng(sum(map(ord, form.name)))
    loss = loss * np.exp(NOISE * rng.standard_normal(len(loss)))
    loss[rng.choice(len(loss), OUTLIERS, replace=False)] *= OUTLIER
    return replace(points, loss=loss)


def problem_of(form: Form) -> tuple[Points, Features, Floats, Floats]:
    """Points, the features the form computes with (scaled, as our own fits use them), and bounds of ``u``."""
    points = points_of(form)
    lower, upper = bounds_of(form, Dropped((), (), {}))
    return points, features(points, Scales.of(points)), lower, upper


def starts_of(form: Form, count: int, seed: int) -> Floats:
    """Starts (count, p) for a multi-start loop: the same hypercube that ours draws from."""
    return draw_starts(form, count, np.random.default_rng([seed, 7]))


def forms(names: str) -> list[Form]:
    """The forms named, separated by commas; all of the registry without."""
    return [REGISTRY[name] for name in names.split(",")] if names else list(REGISTRY.values())


def refit_weights(points: Points, count: int) -> Floats:
    """Weights (count, n) of bootstrap refits: how often each point's run was drawn; those of our own fits at seed 0."""
    runs, member = np.unique(points.run, return_inverse=True)
    drawn = np.random.default_rng([0, 1]).multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=count)
    return drawn[:, member] * points.weight
