"""What the y-axis of the scatter may be in: nats per token, the perplexity ratio, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.format import number, perplexity, signed
from odyssey_tui.services.tokenizer_fair import BYTE_UNIT, TOKEN_UNIT, bits_per_byte

if TYPE_CHECKING:
    from store.queries.domain_facts import Scored
    from store.queries.points import AdaptationPoint

NATS, RATIO, BITS = "nats", "ratio", "bits"


@dataclass(frozen=True)
class Unit:
    """One way to say what adaptation did to a loss: before, after, and the change that is drawn and correlated."""

    name: str
    """What options call it."""
    title: str
    """Of the change, with its unit."""
    change: str
    before: str
    after: str
    """Heads of columns."""
    unchanged: float
    """The change that is none."""
    show: Callable[[float | None], str]
    """The change as text."""

    def __repr__(self) -> str:
        return f"Unit({self.name!r})"


UNITS: Mapping[str, Unit] = {
    NATS: Unit(NATS, f"ΔL, {TOKEN_UNIT}", "ΔL", "L₀", "L", 0.0, signed),
    RATIO: Unit(RATIO, "perplexity ratio, exp(ΔL)", "PPL ratio", "PPL₀", "PPL", 1.0, number),
    BITS: Unit(BITS, f"ΔL, {BYTE_UNIT}", "Δbits", "bits₀", "bits", 0.0, lambda value: signed(value, 4)),
}


@dataclass(frozen=True)
class Losses:
    """Mean losses of a domain before and after adaptation in one unit, and their change, over seeds."""

    before: float
    after: float
    change: float
    lowest: float
    highest: float
    """Change of the seeds between which the others lie."""


def convert(runs: list[AdaptationPoint], unit: str, scored: Mapping[str, Scored]) -> Losses | None:
    """The runs of one domain in a unit; None for bits per byte where the bytes of a text are not recorded.

    Means over seeds are of losses: the perplexity ratio is exp of the mean ΔL, a geometric mean.
    """
    befores = [run.zero_shot_loss or 0.0 for run in runs]
    afters = [run.loss for run in runs]
    changes = [run.delta or 0.0 for run in runs]
    if unit == BITS:
        factors = [bits_of_a_nat(run, scored) for run in runs]
        known = [factor for factor in factors if factor is not None]
        if len(known) < len(runs):
            return None
        befores, afters, changes = (
            [value * factor for value, factor in zip(values, known, strict=True)]
            for values in (befores, afters, changes)
        )
    means = [math.fsum(values) / len(values) for values in (befores, afters, changes)]
    figures = [*means, min(changes), max(changes)]
    return Losses(*(map(perplexity, figures) if unit == RATIO else figures))


def bits_of_a_nat(run: AdaptationPoint, scored: Mapping[str, Scored]) -> float | None:
    """Bits per byte that one nat per token is, on the text of a run's evaluation."""
    found = scored.get(run.evaluation_id or "")
    return None if found is None else bits_per_byte(1.0, found.predicted, found.n_bytes)
