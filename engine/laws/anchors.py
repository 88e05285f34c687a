"""Anchors: a few small measurements at a held-out stage that join the fit, so that it is not predicted blindly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.laws.errors import LawError
from engine.laws.points import Points

Choice = Literal["cheapest", "random"]


@dataclass(frozen=True)
class Anchors:
    """How many held-out points join a fit, and which.

    ``reserve``: points whose runs are kept from scoring, at least ``count``: fits with fewer anchors, or none, are then
    scored on the same points.
    """

    count: int = 0
    reserve: int = 0
    choice: Choice = "cheapest"
    weight: float = 1.0
    """Factor on the anchors' weights."""
    seed: int = 0


def choose_anchors(held_out: Points, count: int, seed: int = 0, choice: Choice = "cheapest") -> NDArray[np.bool_]:
    """Mask (n,) over ``held_out`` of the anchors' RUNS: the cheapest sizes first, or of any size; in seeded order.

    Whole runs are taken until they hold ``count`` points, so that anchors and scored points never share a run; of the
    last run only the cheapest budgets become anchors (see ``split_anchors``). A LawError when no run would be left to
    score.
    """
    taken = np.zeros(len(held_out), dtype=bool)
    if count == 0:
        return taken
    runs = np.unique(held_out.run)
    shuffled = np.random.default_rng([seed, 2]).permutation(len(runs))
    size = {run: float(held_out.n_params[held_out.run == run].min()) for run in runs}
    cheapest = choice == "cheapest"
    order = sorted(range(len(runs)), key=lambda index: (size[runs[index]] if cheapest else 0.0, int(shuffled[index])))
    for index in order:
        if taken.sum() >= count:
            break
        taken |= held_out.run == runs[index]
    if taken.all():
        raise LawError(
            f"{count} anchors would use every run at the held-out PTPP: none would be left to score.",
            f"{len(held_out)} points in {len(runs)} runs are held out; ask for fewer anchors.",
        )
    return taken


def split_anchors(held_out: Points, wanted: Anchors) -> tuple[Points, Points, Points]:
    """Held-out points as (anchors, scored, left out): exactly ``wanted.count`` anchors, cheapest first; no run is in
    two of the first two.

    What remains of the anchors' runs is left out: it would be predicted from its own trajectory.
    """
    reserved = choose_anchors(held_out, max(wanted.count, wanted.reserve), wanted.seed, wanted.choice)
    # Fewer anchors are a part of more, so that only their number changes.
    few = choose_anchors(held_out, wanted.count, wanted.seed, wanted.choice)
    candidates = np.flatnonzero(few)
    by_cost = candidates[np.argsort((held_out.n_params * held_out.adapt_tokens)[candidates], kind="stable")]
    anchors = np.zeros(len(held_out), dtype=bool)
    anchors[by_cost[: wanted.count]] = True
    kept, left = reserved & ~few, few & ~anchors
    reason = np.where(left, "belongs to an anchor's run", "kept for a fit with more anchors")
    chosen = held_out.select(anchors).with_split("anchor")
    return (
        replace(chosen, weight=chosen.weight * wanted.weight),
        held_out.select(~reserved).with_split("score"),
        held_out.select(kept | left).with_split("excluded", reason[kept | left]),
    )
