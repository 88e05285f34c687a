"""The cells of a plan's map: as glyphs that need no colour, as rows of a table, and one in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey_tui.services.format import count, number, signed
from odyssey_tui.services.heat import Scale
from odyssey_tui.services.planning_words import tell_reach
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from engine.laws.points import Floats
    from odyssey_tui.services.figure_export import Exportable
    from odyssey_tui.services.plan import PlanMap

CHOICE, FRONT, MEASURED, OUTSIDE = "★", "◆", "●", "·"
CORNER = "ρ╲ATPP"
SHADES = " ░▒▓█"
"""From the least to the most of what a view shows."""
LEGEND = f"{CHOICE} answer {FRONT} front {MEASURED} measured {OUTSIDE} beyond a limit"
COLUMNS = (
    Column("domain", "domain"),
    Column("replay_ratio", "ρ", ".3g"),
    Column("atpp", "ATPP", ".3g"),
    Column("adapt_tokens", "D", count),
    Column("flops", "FLOP", count),
    Column("target_loss", "target", number),
    Column("base_loss", "base", number),
    Column("forgetting", "forgetting", signed),
    Column("probability", "feasible", ".0%"),
    Column("within_limits", "within limits"),
    Column("choice", "answer"),
    Column("on_front", "on front"),
    Column("measured", "measured"),
    Column("reach_N", "×N", ".3g"),
    Column("reach_P", "×P", ".3g"),
    Column("reach_D", "×D", ".3g"),
)


@dataclass(frozen=True)
class View:
    """What the cells of a map show."""

    title: str
    values: Callable[[PlanMap], Floats]
    change: bool = False
    """Whether it has a sign: rises and falls have colours of their own."""

    def scale(self, found: PlanMap) -> Scale:
        """What the strongest colours stand for."""
        if self.title == PROBABILITY:
            return Scale(0.0, 1.0, False)
        return Scale.of(self.values(found).ravel().tolist(), change=self.change)


PROBABILITY = "probability"


def _probability(found: PlanMap) -> Floats:
    """Share of the draws within the limits; without draws, whether the laws themselves are."""
    probability = found.grid.probability
    return np.where(np.isnan(probability), found.grid.feasible.astype(float), probability)


VIEWS: dict[str, View] = {
    "probability": View(PROBABILITY, _probability),
    "target_loss": View("target loss", lambda found: found.grid.target_loss),
    "forgetting": View("forgetting", lambda found: found.grid.forgetting, change=True),
    "flops": View("compute (log)", lambda found: np.log(found.grid.flops)),
}


def mark_of(found: PlanMap, at: tuple[int, int]) -> str:
    """The most telling of a cell's marks; empty where it has none."""
    if at == found.choice:
        return CHOICE
    if at in found.front:
        return FRONT
    if at in found.measured:
        return MEASURED
    return "" if found.grid.feasible[at] else OUTSIDE


def shade_of(share: float) -> str:
    """A glyph for 0 … 1: nothing below 5 %, all of it above 95 %."""
    return SHADES[0 if share < 0.05 else 4 if share >= 0.95 else 1 + min(2, int((share - 0.05) / 0.3))]


def draw_cells(found: PlanMap, view: str) -> list[list[str]]:
    """Two glyphs a cell: how much of what the view shows, then its mark."""
    shown = VIEWS[view]
    scale, values = shown.scale(found), shown.values(found)
    rows = []
    for row in range(len(found.grid.replay_ratio)):
        shades = [shade_of(abs(scale.share(float(value)))) for value in values[row]]
        rows.append([shade + (mark_of(found, (row, column)) or shade) for column, shade in enumerate(shades)])
    return rows


def place_labels(labels: Sequence[str], width: int, room: int, first: int = 0) -> list[tuple[int, str]]:
    """(where it starts, label) of as many labels over columns of ``width`` as stand apart in ``room`` characters.

    Label number ``first`` is among them.
    """
    placed: list[tuple[int, str]] = []
    for place in sorted(range(len(labels)), key=lambda place: (place != first, place)):
        label = labels[place]
        start = min(place * width, room - len(label))
        if start >= 0 and all(start + len(label) < s or start > s + len(other) for s, other in placed):
            placed.append((start, label))
    return sorted(placed)


def draw_map(found: PlanMap, view: str = "probability") -> list[str]:
    """The map in lines: replay ratios down, ATPP across."""
    labels = ratio_labels(found)
    width = max(len(CORNER), *map(len, labels)) + 1
    budgets = [f"{value:.3g}" for value in found.grid.atpp.tolist()]
    cells = draw_cells(found, view)
    head = CORNER.ljust(width)
    for start, name in place_labels(budgets, 2, 2 * len(budgets)):
        head = head.ljust(width + start) + name
    lines = [head]
    return [*lines, *(f"{label:<{width}}{''.join(row)}".rstrip() for label, row in zip(labels, cells, strict=True))]


def ratio_labels(found: PlanMap) -> list[str]:
    """Replay ratios as the rows' names."""
    return [f"{value:.4g}" for value in found.grid.replay_ratio.tolist()]


def list_cells(found: PlanMap) -> list[dict[str, Any]]:
    """One row a cell, by replay ratio, then budget."""
    grid, model = found.grid, found.basis.model
    rows = []
    for row in range(len(grid.replay_ratio)):
        for column, reach in enumerate(grid.reach):
            cell, at = grid.cell(row, column), (row, column)
            rows.append(
                {
                    "domain": found.answer.domain,
                    "replay_ratio": round(cell.replay_ratio, 6),
                    "atpp": cell.atpp,
                    "adapt_tokens": cell.atpp * model.n_params,
                    "flops": cell.flops,
                    "target_loss": cell.target_loss,
                    "base_loss": cell.base_loss,
                    "forgetting": cell.forgetting,
                    "probability": None if math.isnan(cell.probability) else cell.probability,
                    "within_limits": bool(grid.feasible[at]),
                    "choice": at == found.choice,
                    "on_front": at in found.front,
                    "measured": at in found.measured,
                    **{f"reach_{symbol}": reach.get(symbol, 1.0) for symbol in ("N", "P", "D")},
                }
            )
    return rows


def tell_cell(found: PlanMap, at: tuple[int, int]) -> list[tuple[str, str]]:
    """What the laws say of a cell, as names and values."""
    grid, model = found.grid, found.basis.model
    cell = grid.cell(*at)
    change = cell.target_loss - model.target_zero_shot
    sure = "no draws" if math.isnan(cell.probability) else f"{cell.probability:.0%} of the draws"
    within = "within the limits" if grid.feasible[at] else "beyond a limit"
    reach = tell_reach(grid.reach[at[1]])
    return [
        ("cell", f"ρ {cell.replay_ratio:.4g}, ATPP {cell.atpp:.3g} ({count(cell.atpp * model.n_params)} tokens)"),
        ("target loss", f"{cell.target_loss:.3f} ({signed(change)})"),
        ("base loss", f"{cell.base_loss:.3f} ({signed(cell.forgetting)})"),
        ("feasible", f"{sure}, {within}"),
        ("compute", f"{count(cell.flops)}FLOP"),
        ("beyond the fit", reach or "nowhere"),
    ]


def exportable(found: PlanMap, view: str = "probability") -> Exportable:
    """The map as a figure and as a table, and everything as a record."""
    from odyssey_tui.services.figure_export import Exportable
    from odyssey_tui.services.plan_svg import draw_plan

    rows = list_cells(found)
    stem = "-".join(["plan", *([found.answer.domain] if found.answer.domain else [])])
    record = {**asdict(found.answer), "cells": rows}
    return Exportable(stem, columns=COLUMNS, rows=rows, record=record, drawing=draw_plan(found, view))
