"""The truth behind the synthetic losses: the gated form with a floor, with known parameters for both roles."""

from __future__ import annotations

import math

SIZES = {"xs": 100_000, "s": 400_000}
PTPP = (5.0, 15.0, 45.0)
ATPP = (1.0, 2.0, 4.0)
FIT_PTPP, SCORE_PTPP = (5.0, 15.0), (45.0,)
P0 = math.sqrt(75.0)

PARAMETERS: dict[str, dict[str, float]] = {
    "target": {
        "E": 1.2, "F": 10.0, "phi": 0.25, "A": 20.0, "alpha": 0.3, "B": 25.0, "beta": 0.3, "eta": 0.5, "kappa": 0.1,
        "C": 0.3, "eps": 0.1, "gamma": 0.5,
    },
    "base": {
        "E": 1.0, "F": 8.0, "phi": 0.25, "A": 20.0, "alpha": 0.3, "B": 0.5, "beta": 0.3, "eta": 0.5, "kappa": 0.1,
        "C": 0.5, "eps": 0.2, "gamma": 0.5,
    },
}  # fmt: skip
NEARNESS = {"docs": 0.95, "headers": 0.3, "licences": 0.45, "stdlib": 0.85, "tables": 0.1, "tests": 0.75}
"""How much of a domain the base model knows already: near domains gain nothing from adaptation."""


def share_of(role: str, replay_ratio: float) -> float:
    return replay_ratio if role == "base" else 1.0 - replay_ratio


def predict_loss(role: str, n_params: float, ptpp: float, adapt_tokens: float, replay_ratio: float) -> float:
    """Loss in nats per token of an adapted state."""
    p = PARAMETERS[role]
    r = share_of(role, replay_ratio)
    gate = (ptpp / P0) ** p["kappa"]
    return (
        p["E"]
        + p["F"] / (ptpp * n_params) ** p["phi"]
        + p["A"] / n_params ** p["alpha"]
        + gate * p["B"] * r ** p["eta"] / adapt_tokens ** p["beta"]
        + p["C"] / (r + p["eps"]) ** p["gamma"]
    )


def zero_shot_loss(role: str, domain: str, n_params: float, ptpp: float) -> float:
    """Loss of the base state before adaptation: on a near domain it is lower than after."""
    if role == "base":
        return predict_loss("base", n_params, ptpp, n_params, 1.0) - 0.02
    return predict_loss("target", n_params, ptpp, n_params, 0.0) + 0.45 - 0.75 * NEARNESS[domain]
