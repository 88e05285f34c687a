"""Whether a stored fit is old: what was measured since, what it used that is gone or has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odyssey_tui.services.populations import Population
    from store.queries.fits import FitPoint
    from store.queries.points import AdaptationPoint

SAME_LOSS = 1e-6
"""Nats: losses farther apart are two measurements."""


def find_news(
    stored: Sequence[FitPoint], measured: Sequence[AdaptationPoint], populations: Sequence[Population]
) -> str:
    """A sentence when the fit's runs have gone, were measured anew, or others like them were measured since; else
    empty.

    ``measured``: the points of its domain and role as they are now; ``populations``: the same, by what may stand in
    one fit.
    """
    from odyssey_tui.services.populations import population_of

    used = {point.run_id for point in stored if point.split != "excluded"}
    known = {point.run_id for point in stored}
    there = {point.run_id for point in measured}
    mine = population_of(used, populations)
    new = {point.run_id for point in (mine.points if mine else measured)} - known
    gone = used - there
    parts = [f"{count_runs(new, 'newer')} not in this fit" if new else ""]
    if gone == used:
        parts.append("all of its runs are deleted, though their points still count")
    elif gone:
        whose = "its" if len(gone) == 1 else "their"
        parts.append(f"{count_runs(gone, 'of its')} deleted since, though {whose} points still count")
    if changed := count_changed(stored, measured):
        verb = "was measured anew and differs" if changed == 1 else "were measured anew and differ"
        parts.append(f"{changed} of its losses {verb}")
    told = "; ".join(part for part in parts if part)
    return f"{told[0].upper()}{told[1:]}: `odyssey fit` fits again." if told else ""


def count_changed(stored: Sequence[FitPoint], measured: Sequence[AdaptationPoint]) -> int:
    """Points whose loss is another now."""
    now: dict[tuple[str | None, int | None], list[float]] = {}
    for point in measured:
        now.setdefault((point.run_id, point.adapt_tokens), []).append(point.loss)
    return sum(
        all(abs(loss - point.loss) > SAME_LOSS for loss in losses)
        for point in stored
        if point.split != "excluded" and (losses := now.get((point.run_id, point.adapt_tokens)))
    )


def count_runs(runs: set[str | None], which: str) -> str:
    """``1 newer run is``, ``3 of its runs are``."""
    if which == "of its":
        return "1 of its runs is" if len(runs) == 1 else f"{len(runs)} of its runs are"
    return f"1 {which} run is" if len(runs) == 1 else f"{len(runs)} {which} runs are"
