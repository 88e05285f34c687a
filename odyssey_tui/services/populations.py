"""Which adapted states one law may describe: those made in one way, from one kind of base, scored by one tokenizer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.laws.errors import LawError
from odyssey_tui.services.scatter_cells import REPLAYED, Cell, Surroundings, Wanted, group_by_cell

if TYPE_CHECKING:
    from store.queries.points import AdaptationPoint

AXES = ("size", "ptpp", "replay", "atpp")
"""What a law is a function of, so no reason to keep states apart."""
OF_SIZE = re.compile(r"[-_]?(\d+(\.\d+)?[kmb]|small|medium|large|xl|xxl)\b", re.IGNORECASE)
"""What published models of one family differ in by name."""
MOST_NAMED = 4
PLAIN = "plain"
"""What states without a variant are called where others have one."""


@dataclass(frozen=True)
class Population:
    """Points that may stand in one fit."""

    cell: Cell
    """What they have in common: method, variant, newlines, rate, rank, base, tokenizer, details of the recipe."""
    points: tuple[AdaptationPoint, ...] = field(repr=False)
    name: str = ""
    """What tells it apart from the others of the domain; ``plain`` where the others have something that it lacks."""

    @property
    def owners(self) -> tuple[str, ...]:
        """The runs in whose journals its points are."""
        return tuple(dict.fromkeys(point.owner for point in self.points))

    @property
    def size(self) -> str:
        """``12 points of 3 runs``."""
        n, runs = len(self.points), len(self.owners)
        return f"{n} point{'s' * (n != 1)} of {runs} run{'s' * (runs != 1)}"


def split_populations(points: Iterable[AdaptationPoint], around: Surroundings) -> list[Population]:
    """The populations among points of one domain and role: plain fine-tuning before variants, many points before few.

    A point without replay belongs to every population that differs from its own in the replayed text alone.
    """
    groups: dict[Cell, list[AdaptationPoint]] = defaultdict(list)
    for cell, members in group_by_cell(points, around).items():
        groups[bare(cell)] += members
    groups = share_unreplayed(merge_rates(groups))
    ordered = sorted(groups, key=lambda cell: (not cell.is_plain, cell.method != "full", -len(groups[cell])))
    names = name_populations(ordered)
    return [Population(cell, tuple(groups[cell]), names[cell]) for cell in ordered]


def bare(cell: Cell) -> Cell:
    """The cell without what laws are functions of."""
    family = OF_SIZE.sub("", cell.base) or cell.base
    return replace(cell, base=family, size=None, n_params=None, ptpp=None, replay_ratio=None, atpp=0.0)


def merge_rates(groups: dict[Cell, list[AdaptationPoint]]) -> dict[Cell, list[AdaptationPoint]]:
    """Learning rates that go with the size, one for each, are one recipe."""
    rates: dict[Cell, dict[int | None, set[float | None]]] = defaultdict(lambda: defaultdict(set))
    for cell, members in groups.items():
        for point in members:
            rates[replace(cell, lr=None)][point.n_params].add(point.lr)
    merged: dict[Cell, list[AdaptationPoint]] = defaultdict(list)
    for cell, members in groups.items():
        by_size = rates[replace(cell, lr=None)]
        tuned = len(by_size) > 1 and all(len(found) == 1 for found in by_size.values())
        several = len(set().union(*by_size.values())) > 1
        merged[replace(cell, lr=None) if tuned and several else cell] += members
    return dict(merged)


def share_unreplayed(groups: dict[Cell, list[AdaptationPoint]]) -> dict[Cell, list[AdaptationPoint]]:
    """Add points that replay nothing to every population that replays one text or another in the same way."""

    def without(cell: Cell) -> Cell:
        return replace(cell, details=tuple(detail for detail in cell.details if detail[0] != REPLAYED))

    replaying = {cell: without(cell) for cell in groups if without(cell) != cell}
    shared = {
        cell: [*groups[cell], *groups.get(other, [])] if cell in replaying else groups[cell]
        for cell, other in ((cell, replaying.get(cell, cell)) for cell in groups)
    }
    served = set(replaying.values())
    return {cell: members for cell, members in shared.items() if cell in replaying or cell not in served}


def name_populations(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Each by what it has otherwise than another; a lone one by its method, unless that is full fine-tuning."""
    parts = {cell: {key: text for key, text in cell.parts.items() if key not in AXES} for cell in cells}
    keys = dict.fromkeys(key for own in parts.values() for key in own)
    differing = [key for key in keys if len({own.get(key) for own in parts.values()}) > 1]
    if len(cells) == 1:
        (only,) = cells
        odd = [text for key, text in parts[only].items() if key in ("variant", "newlines", "method") and text != "full"]
        return {only: ", ".join(odd)}
    names = {}
    for cell, own in parts.items():
        words = [own[key] for key in differing if key in own]
        names[cell] = ", ".join(words) or PLAIN
    return names


def choose_population(populations: Sequence[Population], wanted: Wanted) -> Population:
    """The first that has what is asked for; the variant ``plain`` is to have none. Raises LawError naming those there
    are when none has."""
    bare_only = wanted.variant == PLAIN
    wanted = replace(wanted, variant=None) if bare_only else wanted
    admitted = [one for one in populations if wanted.admits(one.cell) and not (bare_only and one.cell.variant)]
    if not admitted:
        names = "; ".join(f"{one.name or PLAIN} ({one.size})" for one in populations[:MOST_NAMED])
        raise LawError("No adapted states have all that was asked for.", f"There are: {names}.")
    return admitted[0]


def tell_others(chosen: Population, populations: Sequence[Population]) -> tuple[str, ...]:
    """What is left out of a fit to ``chosen``, a sentence each."""
    owned = set(chosen.owners)
    sentences = []
    for other in populations:
        left = [point for point in other.points if point.owner not in owned]
        if other is not chosen and left:
            rest = replace(other, points=tuple(left))
            sentences.append(f"{rest.size} left out, not mixed in: {other.name}{tell_option(other.cell, chosen.cell)}.")
    return tuple(sentences)


def tell_option(cell: Cell, chosen: Cell) -> str:
    """How to ask for it instead, where one option does."""
    for name in ("variant", "method", "newlines", "base", "lr"):
        value = getattr(cell, name)
        if value is not None and value != getattr(chosen, name):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            return f" (--{name} {quote(text)})"
    return ""


def quote(text: str) -> str:
    """As a shell takes it."""
    import shlex

    return shlex.quote(text)


def population_of(run_ids: Iterable[str | None], populations: Sequence[Population]) -> Population | None:
    """The population that most of these runs (or trajectories of tables) belong to; None where none is known."""
    from store.queries.points import owner_of

    wanted = {owner_of(run_id) for run_id in run_ids if run_id}
    counts = [len(wanted & set(population.owners)) for population in populations]
    return populations[counts.index(max(counts))] if any(counts) else None
