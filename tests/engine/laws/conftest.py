"""A synthetic grid of adaptation runs with a known law behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.laws.features import Scales, features
from engine.laws.forms import REGISTRY
from engine.laws.points import Points

LEVELS = {"E": 1.6, "A": 0.5, "alpha": 0.34, "B": 0.6, "beta": 0.28}
MIX = {**LEVELS, "eta": 0.4, "C": 0.1, "eps": 0.1, "gamma": 0.5}
TRUTH: dict[str, dict[str, float]] = {
    "chinchilla": LEVELS,
    "dcpt": MIX,
    "ptpp_additive": {**MIX, "F": 0.4, "phi": 0.3},
    "ptpp_gated": {**MIX, "kappa": 0.1},
    "ptpp_gated_floor": {**MIX, "F": 0.4, "phi": 0.3, "kappa": 0.1},
    "zero_shot": {
        **{"E": 1.3, "A": 0.5, "alpha": 0.4, "F": 0.3, "phi": 0.3, "C": 0.1, "eps": 0.1, "gamma": 0.5},
        **{"K": 0.5, "a": 0.3, "kappa": 0.2, "eta": -0.4, "beta": 0.4},
    },
    "quality": {
        **{"E": 0.3, "F": 0.5, "phi": 1.1, "B": 0.6, "beta": 0.28, "eta": 0.4},
        **{"kappa": 0.2, "nu": 0.05, "C": 0.1, "eps": 0.1, "gamma": 0.5},
    },
    "quality_limit": {
        **{"F": 3.0, "phi": 0.8, "nu": -0.05, "eps": 0.1, "gamma": 0.1},
        **{"K": 0.5, "a": 0.3, "kappa": 1.0, "eta": -0.4, "beta": 0.4},
    },
    "quality_share": {
        **{"E": 0.3, "B": 2.5, "kappa": 0.6, "nu": 0.05, "beta": 0.28, "eps": 0.1},
        **{"gamma": 0.15, "g": -0.2},
    },
    "replay_odds": {"G": 0.15, "E": 6.0, "b": 0.4, "mu": 0.15, "K": 0.02, "c": 0.4, "delta": 0.15},
    "gadre": {"E": 1.6, "a": 0.5, "b": 0.6, "eta": 0.15},
    "liew_kato": {"E": 1.6, "A": 1.0, "alpha1": 0.1, "alpha2": 0.2, "alpha3": 0.01},
    "forgetting": {"A": 0.3, "beta": 0.4, "alpha": 0.3, "B": 50.0, "E": 0.01},
    "forgetting_pinned": {"A": 0.3, "beta": 0.4, "alpha": 0.3, "B": 50.0},
}
"""Parameters in scaled units, relative to the references of the grid at PTPP 15 and 31."""


def role_of(form: str) -> str:
    """The loss a form is tested on."""
    return REGISTRY[form].roles[0]


def design(ptpp: tuple[float, ...], role: str = "target") -> Points:
    """Three sizes x PTPP x five replay ratios x seven budgets, one run per trajectory; losses are all 1."""
    rows = [
        (n, p, rho, atpp)
        for n in (3.3e4, 8.7e4, 1.41e5)
        for p in ptpp
        for rho in (0.0, 0.1, 0.25, 0.5, 0.75)
        for atpp in (0.5, 1, 2, 4, 6, 8, 10)
    ]
    n, p, rho, atpp = np.array(rows).T
    return Points.from_columns(
        {
            "run": [f"run-{index // 7}" for index in range(len(rows))],
            "n_params": n,
            "ptpp": p,
            "atpp": atpp,
            "replay_ratio": rho,
            "share": 1 - rho if role == "target" else rho,
            "loss": np.ones(len(rows)),
            "zero_shot_loss": 3.4 + 1000 / n**0.7 + 200 / (n * p) ** 0.4,
            "quality": 2.2 + 900 / n**0.7 + 80 / (n * p) ** 0.4,
        }
    )


def sample(form: str, ptpp: tuple[float, ...] = (15.0, 31.0), noise: float = 0.0, seed: int = 0) -> Points:
    """Losses of ``TRUTH[form]`` on the design, with relative noise."""
    law, role = REGISTRY[form], role_of(form)
    points = design(ptpp, role)
    scales = Scales.of(design((15.0, 31.0), role))
    losses = law.value(law.to_u(TRUTH[form])[None], features(points, scales))[0]
    rng = np.random.default_rng(seed)
    return replace(points, loss=losses * np.exp(noise * rng.standard_normal(len(points))))


@pytest.fixture
def make_sample() -> Callable[..., Points]:
    """``sample``: (form, ptpp, noise, seed) -> points."""
    return sample


@pytest.fixture
def truth() -> dict[str, dict[str, float]]:
    """Scaled-unit parameters by form."""
    return TRUTH
