"""What a plan says in words: which limit binds and by how much, and how far its laws are stretched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.laws.law import Law
from engine.laws.points import Floats

UNITS = {
    "forgetting": " nats",
    "forgetting share": " of L0",
    "target loss": " nats",
    "compute": " FLOPs",
    "domain tokens": " tokens",
}


def tell_shortfalls(excesses: Mapping[str, Floats], rho: Floats, atpp: Floats) -> tuple[str, ...]:
    """Of cells none of which meets all limits: which limit binds, and by how much the nearest cell exceeds it.

    ``excesses`` (n,) by limit, in the limit's unit, above 0 where it is exceeded.
    """
    sentences = []
    for name, excess in excesses.items():
        others = [other <= 0 for key, other in excesses.items() if key != name]
        met = np.all(others, axis=0) if others else np.ones(len(excess), dtype=bool)
        if not met.any():
            continue
        at = np.flatnonzero(met)[np.argmin(excess[met])]
        alone = " on its own" if excess.min() > 0 else " together with the others"
        sentences.append(
            f"The limit on {name} cannot be met{alone}: the nearest cell (replay {rho[at]:.3g}, ATPP {atpp[at]:.3g}) "
            f"exceeds it by {excess[at]:.3g}{UNITS[name]}."
        )
    if not sentences:
        unreachable = [
            f"{name} by {excess.min():.3g}{UNITS[name]} at least (replay {rho[at]:.3g}, ATPP {atpp[at]:.3g})"
            for name, excess in excesses.items()
            if excess[at := int(np.argmin(excess))] > 0
        ]
        sentences.append(
            f"Several limits fail at once, each on its own: {'; '.join(unreachable)}. Relax more than one of them."
            if unreachable
            else "No cell meets even all limits but one: relax more than one of them."
        )
    return tuple(sentences)


def tell_unsure(probability: Floats, rho: Floats, atpp: Floats, least: float) -> str:
    """That cells meet the limits, but none in as many draws as asked for; and which comes nearest."""
    at = int(np.argmax(probability))
    return (
        f"No cell meets the limits in {least:.0%} of the draws: the surest (replay {rho[at]:.3g}, ATPP {atpp[at]:.3g}) "
        f"does in {probability[at]:.0%}."
    )


def tell_stretch(
    laws: Mapping[str, Law], stretch: Mapping[str, Mapping[str, float]], replay_ratio: float
) -> tuple[str, ...]:
    """What the laws are stretched to at a cell. ``stretch``: by role, factors beyond the fitted range by symbol."""
    warnings: list[str] = []
    beyond: dict[str, list[str]] = {}
    for role, law in laws.items():
        for symbol, factor in stretch[role].items():
            beyond.setdefault(f"{symbol} is {factor:.3g}×", []).append(role)
        low, high = law.ranges["rho"]
        if not low - 1e-9 <= replay_ratio <= high + 1e-9:
            warnings.append(f"Replay {replay_ratio:.3g} is outside the fitted {low:.3g} to {high:.3g} ({role} law).")
        for symbol, name in (("P", "PTPP"), ("A", "ATPP")):
            if symbol in law.ranges and law.ranges[symbol][0] == law.ranges[symbol][1]:
                warnings.append(f"The {role} law was fitted on a single {name}: how the loss depends on it is a guess.")
    told = [f"{what} beyond the points of the {' and '.join(roles)} law" for what, roles in beyond.items()]
    if told:
        warnings.insert(0, f"Extrapolated: {'; '.join(told)}.")
    return tuple(dict.fromkeys(warnings))
