"""A plan's map as an SVG heat map: coloured cells with their values, the answer, the front and what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from odyssey_tui.plots.palette import color_of
from odyssey_tui.plots.svg_shapes import FONT, GENERATOR, SMALL, TEXT, TITLE, clean, hexadecimal, measure, words
from odyssey_tui.services.format import count
from odyssey_tui.services.heat import ink_on
from odyssey_tui.services.plan_cells import CHOICE, FRONT, LEGEND, MEASURED, VIEWS, mark_of, ratio_labels
from odyssey_tui.services.planning_words import tell_short

if TYPE_CHECKING:
    from odyssey_tui.services.plan import PlanMap

CELL, ROW, EDGE, LEFT, TOP = 46.0, 22.0, 14.0, 64.0, 92.0


def draw_plan(found: PlanMap, view: str = "probability", *, dark: bool = False) -> str:
    """One SVG document, as large as the map needs."""
    rows, columns = found.grid.feasible.shape
    answer, model = found.answer, found.basis.model
    what = " · ".join(part for part in (answer.domain, *answer.files) if part)
    title = f"{what}: {VIEWS[view].title}" if what else VIEWS[view].title
    under = (
        f"Model {model.label}, P = {model.ptpp:.3g}; {' and '.join(answer.limits) or 'no limit'}. {tell_short(answer)}."
    )
    width = max(LEFT + CELL * columns, *(measure(line, TEXT) + EDGE for line in (title, under, LEGEND))) + EDGE
    height = TOP + ROW * rows + 46
    ground = (18, 18, 18) if dark else (255, 255, 255)
    text, muted = hexadecimal(color_of("text", dark=dark)), hexadecimal(color_of("muted", dark=dark))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {GENERATOR} width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}" font-size="{TEXT:g}">',
        f"<title>{clean(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{hexadecimal(ground)}"/>',
        words(EDGE, 26, title, text, TITLE),
        words(EDGE, 46, under, muted, SMALL),
        words(EDGE, TOP - 8, "ρ", muted, SMALL),
        words(LEFT, TOP - 26, "adaptation tokens per parameter (ATPP)", muted, SMALL),
        *draw_cells(found, view, text, muted, dark=dark),
        words(EDGE, TOP + ROW * rows + 24, LEGEND, muted, SMALL),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def draw_cells(found: PlanMap, view: str, text: str, muted: str, *, dark: bool) -> Iterator[str]:
    """Names of rows and columns, then the cells; the answer is outlined."""
    shown, outlined = VIEWS[view], ""
    scale, values = shown.scale(found), shown.values(found)
    for column, budget in enumerate(found.grid.atpp.tolist()):
        yield words(LEFT + CELL * (column + 0.5), TOP - 8, f"{budget:.3g}", muted, SMALL, "middle")
    for row, label in enumerate(ratio_labels(found)):
        y = TOP + ROW * row
        yield words(LEFT - 8, y + ROW / 2 + 4, label, muted, SMALL, "end")
        for column, value in enumerate(values[row].tolist()):
            x, mark = LEFT + CELL * column, mark_of(found, (row, column))
            fill = scale.color(value, dark=dark)
            place = f'x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{CELL - 1:.1f}" height="{ROW - 1:.1f}"'
            yield f'<rect {place} fill="{hexadecimal(fill)}"/>'
            sign = f" {mark}" if mark in (CHOICE, FRONT, MEASURED) else ""
            ink = hexadecimal(ink_on(fill))
            yield words(x + CELL / 2, y + ROW / 2 + 4, value_text(view, value) + sign, ink, SMALL, "middle")
            if mark == CHOICE:
                outlined = f'<rect {place} fill="none" stroke="{text}" stroke-width="1.8"/>'
    yield outlined


def value_text(view: str, value: float) -> str:
    """What a cell shows, short."""
    if view == "probability":
        return f"{value:.0%}"
    if view == "flops":
        return count(math.exp(value))
    return f"{value:+.2f}".replace("-", "−") if view == "forgetting" else f"{value:.2f}"
