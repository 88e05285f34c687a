"""Which models of a workspace a scatter can show, and which it shows; or why there is nothing to show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from odyssey_tui.services.scatter import Model
from odyssey_tui.services.scatter_cells import (
    Cell,
    Surroundings,
    Wanted,
    choose_cell,
    coverage,
    group_by_cell,
    is_whole,
    list_models,
    name_cells,
    order_of,
)
from store.errors import DataError
from store.names import suggest

if TYPE_CHECKING:
    from odyssey_tui.services.scatter_points import Runs
    from store.queries.points import AdaptationPoint
    from store.queries.similarity import Similarity

MOST_POOLED = 12
"""Models drawn together; of more, those with the most domains."""
PROPERTY_NAMES: Mapping[str, str] = {
    "replay_ratio": "replay ratio",
    "ptpp": "PTPP",
    "atpp": "ATPP",
    "lr": "learning rate",
}
"""How people call a property, where it is not its own name."""


@dataclass(frozen=True)
class Selection:
    """Which models there are and which are looked at; ``reason`` says why there is none."""

    domains: tuple[str, ...] = ()
    """Those with a similarity."""
    cells: Mapping[Cell, Sequence[AdaptationPoint]] = field(default_factory=dict)
    models: tuple[Cell, ...] = ()
    shown: tuple[Cell, ...] = ()
    around: Surroundings = field(default_factory=Surroundings)
    reason: str = ""
    hint: str = ""

    @property
    def points(self) -> list[AdaptationPoint]:
        """Those of the models shown."""
        return [point for cell in self.shown for point in self.cells[cell] if is_whole(point)]

    def by_coverage(self) -> list[Cell]:
        """All cells, those with the most domains first, then as keys step through them."""
        return sorted(self.cells, key=lambda cell: (-coverage(self.cells[cell], self.domains), *order_of(cell)))


def select(
    points: Sequence[AdaptationPoint],
    rows: Sequence[Similarity],
    wanted: Wanted,
    *,
    pooled: bool = False,
    around: Surroundings | None = None,
) -> Selection:
    """The models of these adapted states, and those to look at; DataError for properties that none of them has."""
    if not rows:
        return Selection(
            reason="No similarity has been computed in this workspace.",
            hint="An experiment with a `similarity:` section computes it; the demo has one.",
        )
    domains = tuple(dict.fromkeys(row.domain for row in rows))
    if not points:
        return Selection(
            domains,
            reason="Similarities are there, but no domain has been adapted to yet.",
            hint="Points appear when the adaptation runs of an experiment are done.",
        )
    known = [point for point in points if point.domain is not None]
    if not any(is_whole(point) for point in known):
        if any(point.loss is None for point in known):
            return Selection(
                domains,
                reason="Domains have been adapted to, but no loss is finite.",
                hint="Lower the learning rate, or warm up longer; the runs' pages show where it went wrong.",
            )
        return Selection(
            domains,
            reason="Domains have been adapted to, but their base model has no evaluation on the same text yet.",
            hint="Points appear when the base model's zero-shot evaluations are done.",
        )
    around = around or Surroundings()
    cells = group_by_cell(known, around)
    models = list_models(cells, domains, wanted)
    if not models:
        raise refuse(cells, wanted)
    chosen = choose_cell(cells, domains, wanted)
    most = sorted(models, key=lambda cell: -coverage(cells[cell], domains))[:MOST_POOLED]
    shown = tuple(cell for cell in models if cell in most) if pooled else (chosen or models[0],)
    return Selection(domains, cells, models, shown, around)


def refuse(cells: Collection[Cell], wanted: Wanted) -> DataError:
    """What is wrong with the properties asked for, with the nearest there are."""
    asked = {item.name: getattr(wanted, item.name) for item in fields(wanted) if item.name != "cell"}
    for name, value in asked.items():
        if value is None or any(Wanted(**{name: value}).admits(cell) for cell in cells):
            continue
        known = sorted({spell(getattr(cell, name)) for cell in cells if getattr(cell, name) is not None})
        there = f"There are: {list_some(known, 8)}." if known else "No run here has any."
        hint = suggest(spell(value), known, "") if isinstance(value, str) else ""
        return DataError(
            f"no adapted state has {PROPERTY_NAMES.get(name, name)} {spell(value)}", f"{hint} {there}".strip()
        )
    there = sorted({cell.text for cell in cells})
    return DataError("no adapted state has all the properties asked for", f"There are: {'; '.join(there[:6])}.")


def spell(value: float | str) -> str:
    """A property as it is asked for."""
    return value if isinstance(value, str) else f"{value:g}"


def describe(selection: Selection, cells: Sequence[Cell]) -> tuple[Model, ...]:
    """Cells with names that tell them apart."""
    names = name_cells(cells)
    return tuple(Model(cell, names[cell], coverage(selection.cells[cell], selection.domains)) for cell in cells)


def tell_left_out(selection: Selection) -> str:
    """How many models a pooled scatter leaves out."""
    left = len(selection.models) - len(selection.shown)
    return f"{left} more models have fewer domains and are left out." if left else ""


def list_some(names: Sequence[str], most: int = 4) -> str:
    """``a, b, c, d and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def explain_missing(domains: Sequence[str], runs: Mapping[Cell, Runs], shown: Sequence[Model]) -> tuple[str, ...]:
    """Which domains no model shown was adapted to, and how many pairs of model and domain are lacking besides."""
    held = [found.by_domain.keys() | found.left_out.keys() for found in runs.values()]
    nowhere = [domain for domain in domains if not any(domain in there for there in held)]
    lacking = sum(len(set(domains) - there) for there in held) - len(nowhere) * len(held)
    lines = [f"not adapted to in this cell: {list_some(nowhere)}"] if nowhere else []
    if lacking:
        lines.append(f"{lacking} of {len(shown) * (len(domains) - len(nowhere))} pairs of model and domain are missing")
    return tuple(lines)
