"""The x-axes of the similarity scatter: every measure through every embedder, averaged over seeds, oriented."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from store.errors import DataError

if TYPE_CHECKING:
    from odyssey_tui.services.scatter_cells import Cell
    from store.queries.points import AdaptationPoint
    from store.queries.similarity import Similarity

    ZeroShot = Callable[[Sequence[AdaptationPoint]], float | None]

ZERO_SHOT = "zero_shot"
BASE_MODEL = "base"
PREFERENCE = ("mmd2", "cosine", "c2st", "frechet", "l2", "jsd", "ngram_overlap")
EMBEDDER_PREFERENCE = ("model", "sentence", "ngrams", "tokens", BASE_MODEL)
MEASURE_TITLES: Mapping[str, str] = {
    "mmd2": "MMD²",
    "cosine": "cosine of means",
    "c2st": "classifier accuracy",
    "frechet": "Fréchet distance",
    "l2": "distance of means",
    "jsd": "unigram JSD, bits",
    "ngram_overlap": "shared mass of bigrams",
    ZERO_SHOT: "zero-shot loss",
}


@dataclass(frozen=True)
class View:
    """A measure through an embedder: one way to place the domains on the x-axis."""

    measure: str
    embedder: str

    @property
    def name(self) -> str:
        """``mmd2 · model``: the names that options take."""
        return f"{self.measure} · {self.embedder}"

    @property
    def title(self) -> str:
        """``MMD² · model``."""
        title = MEASURE_TITLES.get(self.measure, self.measure)
        return title if self.embedder in (BASE_MODEL, "tokens") else f"{title} · {self.embedder}"


@dataclass(frozen=True)
class Placed:
    """A domain's place on the x-axis; the mean over seeds."""

    value: float
    low: float | None
    high: float | None
    higher_is_closer: bool
    n_samples: int

    @property
    def oriented(self) -> float:
        """Higher = more similar."""
        return self.value if self.higher_is_closer else -self.value

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The interval of ``oriented``."""
        if self.low is None or self.high is None:
            return None, None
        return (self.low, self.high) if self.higher_is_closer else (-self.high, -self.low)


@dataclass(frozen=True)
class Placement:
    """All domains through one view, against one reference."""

    view: View
    encoder: str
    reference: str
    domains: Mapping[str, Placed]
    own: Mapping[Cell, Mapping[str, Placed]] = field(default_factory=dict)
    """Where each model places the domains in its own way: the zero-shot loss."""

    def of(self, cell: Cell) -> Mapping[str, Placed]:
        """The places of a model's domains."""
        return self.own.get(cell, self.domains)


def place_all(
    rows: Sequence[Similarity], cells: Mapping[Cell, Mapping[str, Sequence[AdaptationPoint]]], zero_shot: ZeroShot
) -> dict[View, Placement]:
    """The domains through every view, in the order of preference; the zero-shot loss itself comes last.

    Values may be compared only against one reference and encoder: of several, the one with the most of the plotted
    domains is taken, the latest of equals. ``zero_shot`` gives the loss of a domain's base states.
    """
    plotted = {domain for by_domain in cells.values() for domain in by_domain}
    groups: dict[View, dict[tuple[str, str], dict[str, list[Similarity]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in rows:
        groups[View(row.measure, row.embedder)][(row.reference, row.encoder or "")][row.domain].append(row)
    placements = {}
    for view in sorted(groups, key=preference):
        options = list(groups[view].items())[::-1]
        (reference, encoder), domains = max(options, key=lambda option: len(option[1].keys() & plotted))
        placements[view] = Placement(view, encoder, reference, {d: average(found) for d, found in domains.items()})
    own = {
        cell: {
            domain: Placed(loss, None, None, False, 0)
            for domain, found in by_domain.items()
            if (loss := zero_shot(found)) is not None
        }
        for cell, by_domain in cells.items()
    }
    view = View(ZERO_SHOT, BASE_MODEL)
    placements[view] = Placement(view, "", "the base model", {}, own)
    return placements


def average(rows: Sequence[Similarity]) -> Placed:
    """The mean of one domain's values over seeds, and of the ends of their intervals where all have one."""
    lows = [row.low for row in rows if row.low is not None]
    highs = [row.high for row in rows if row.high is not None]
    complete = len(lows) == len(highs) == len(rows)
    return Placed(
        fmean(row.value for row in rows),
        fmean(lows) if complete else None,
        fmean(highs) if complete else None,
        rows[0].higher_is_closer,
        min(row.n_samples or 0 for row in rows),
    )


def preference(view: View) -> tuple[int, str, int, str]:
    """Sort key: known measures first in their order, then by embedder."""

    def place(name: str, order: Sequence[str]) -> tuple[int, str]:
        return (order.index(name), "") if name in order else (len(order), name)

    return *place(view.measure, PREFERENCE), *place(view.embedder, EMBEDDER_PREFERENCE)


def choose_view(placements: Mapping[View, Placement], measure: str | None, embedder: str | None) -> View:
    """The first view that fits what is asked for; DataError naming the views there are otherwise."""
    for view in placements:
        if measure in (None, view.measure) and embedder in (None, view.embedder):
            return view
    asked = " with ".join(repr(name) for name in (measure, embedder) if name)
    there = ", ".join(f"{view.measure} ({view.embedder})" for view in placements)
    raise DataError(f"no similarity by {asked} in this workspace", f"There are: {there}.")


def significant(value: float, digits: int = 3) -> str:
    """A value of a measure to so many significant digits, zeros kept, with a true minus: ``0.0100``, ``−12.3``."""
    return f"{value:#.{digits}g}".rstrip(".").replace("-", "−")
