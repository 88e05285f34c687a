"""Anchors: a few small measurements at a held-out stage that join the fit, so that it is not predicted blindly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.laws.errors import LawError
from engine.laws.points import Points


def choose_anchors(held_out: Points, count: int, seed: int = 0) -> NDArray[np.bool_]:
    """Mask (n,) over ``held_out`` of the anchors' RUNS: the cheapest sizes first, in seeded order within a size.

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
    order = sorted(range(len(runs)), key=lambda index: (size[runs[index]], int(shuffled[index])))
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


def split_anchors(held_out: Points, count: int, seed: int = 0) -> tuple[Points, Points, Points]:
    """Held-out points as (anchors, scored, left out): exactly ``count`` anchors, cheapest first; no run is in two of
    the first two.

    What remains of the anchors' runs is left out: it would be predicted from its own trajectory.
    """
    reserved = choose_anchors(held_out, count, seed)
    candidates = np.flatnonzero(reserved)
    by_cost = candidates[np.argsort((held_out.n_params * held_out.adapt_tokens)[candidates], kind="stable")]
    anchors = np.zeros(len(held_out), dtype=bool)
    anchors[by_cost[:count]] = True
    left = reserved & ~anchors
    return (
        held_out.select(anchors).with_split("anchor"),
        held_out.select(~reserved).with_split("score"),
        held_out.select(left).with_split("excluded", "belongs to an anchor's run"),
    )
