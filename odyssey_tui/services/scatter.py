"""What the similarity screen and its twin show: points, findings and what they rest on, in one frozen snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from engine.stats import Correlation
from odyssey_tui.services.scatter_cells import Cell
from odyssey_tui.services.scatter_points import Point
from odyssey_tui.services.scatter_statistics import Finding, GroupSummary, Line, tell_between, tell_influence, without_n
from odyssey_tui.services.scatter_units import NATS, UNITS, Unit
from odyssey_tui.services.scatter_views import View

NOTABLE_CHANGE = 0.1
"""A domain without which r changes by less is not worth naming."""


@dataclass(frozen=True)
class Model:
    """A model that can be shown: its cell, its name among the others, and of how many domains it has points."""

    cell: Cell
    name: str
    n_domains: int


@dataclass(frozen=True)
class Agreement:
    """The correlation through one view: whether the measures tell the same story."""

    view: View
    pearson: Correlation

    def line(self, name_width: int, *, here: bool) -> str:
        """``▸ mmd2 · model  r = .41 [−.02, .71], p = .36``; n is that of the whole scatter."""
        finding = without_n(self.pearson)
        return f"{'▸' if here else ' '} {self.view.name.ljust(name_width)}  {finding}"


@dataclass(frozen=True)
class Look:
    """How to look at the models: through which view, in which unit, one model or all of them."""

    measure: str | None = None
    embedder: str | None = None
    unit: str = NATS
    pooled: bool = False


@dataclass(frozen=True)
class Scatter:
    """Everything the scatter shows; ``points`` is empty and ``reason`` says why when there is nothing to show."""

    view: View | None
    encoder: str = ""
    reference: str = ""
    n_samples: int = 0
    unit: Unit = UNITS[NATS]
    units: tuple[str, ...] = ()
    """Units that the change may be drawn in."""
    pooled: bool = False
    shown: tuple[Model, ...] = ()
    """The models with points on the figure."""
    models: tuple[Model, ...] = ()
    """Those that keys step through, one for each model."""
    cells: tuple[Model, ...] = ()
    """All there are, budgets apart."""
    points: tuple[Point, ...] = ()
    missing: tuple[str, ...] = ()
    """Why a domain has no point, one sentence each."""
    findings: tuple[Finding, ...] = ()
    groups: tuple[GroupSummary, ...] = ()
    group_origin: str = ""
    line: Line | None = None
    agreement: tuple[Agreement, ...] = ()
    """One per available view, in the order in which keys step through them."""
    notes: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""

    @property
    def cell(self) -> Cell | None:
        """The model shown, or the first of several."""
        return self.shown[0].cell if self.shown else None

    @property
    def common(self) -> str:
        """What the models shown have in common; of one, all that it is."""
        if len(self.shown) == 1:
            return self.shown[0].cell.text
        parts = [model.cell.parts for model in self.shown]
        return ", ".join(text for key, text in parts[0].items() if all(own.get(key) == text for own in parts))

    @property
    def main(self) -> Finding | None:
        """The correlation over all domains."""
        return next((finding for finding in self.findings if finding.key == "all"), None)

    @property
    def pearson(self) -> Correlation | None:
        """Pearson's r of the main finding."""
        return None if self.main is None else self.main.pearson

    @property
    def sentence(self) -> str:
        """The finding with its uncertainty, or why there is none."""
        return self.reason if self.main is None else self.main.sentence

    @property
    def within(self) -> str:
        """What remains within groups, and how far the groups lie apart; empty without groups."""
        found = next((finding for finding in self.findings if finding.key == "within"), None)
        if found is None:
            return ""
        apart = tell_between(self.groups, self.unit.show)
        return f"Within groups {found.pearson.sentence}; mean {self.unit.change}: {apart}"

    @property
    def by_measure(self) -> tuple[str, ...]:
        """One line per view, the one shown marked."""
        width = max((len(item.view.name) for item in self.agreement), default=0)
        return tuple(item.line(width, here=item.view == self.view) for item in self.agreement)

    @property
    def influence(self) -> str:
        """The domain that r hangs on most: ``without tables r = .48``; empty where no single one matters."""
        return tell_influence(self.points, None if self.pearson is None else self.pearson.r, NOTABLE_CHANGE)
