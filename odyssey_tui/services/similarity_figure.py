"""The similarity scatter as a figure, the same on the screen and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.palette import MARKERS
from odyssey_tui.services.scatter import Scatter
from odyssey_tui.services.scatter_points import Point
from odyssey_tui.services.scatter_views import ZERO_SHOT

BAND_ROOM = 0.25
"""How far the band may reach beyond the points, as a share of their range."""
MOST_GROUP_LINES = 4
NO_GROUP = "no group"


class Style(NamedTuple):
    """How one class of points looks: its legend, colour and marker."""

    label: str
    color: int | str
    marker: str


def draw_scatter(scatter: Scatter, highlight: str | None = None, *, grouped: bool = False) -> Figure:
    """Named points over the regression line and its band; no change is marked. ``highlight``: the key of a point.

    Several models have a colour each; ``grouped`` gives each group of domains a marker, and with one model a colour and
    a line, too. Error bars span the seeds of a domain where it has several.
    """
    unit = scatter.unit
    subject = unit.change if scatter.view is None else f"{unit.change} against {scatter.view.title}"
    figure = Figure(subject, x_label(scatter), unit.title, note=note(scatter))
    if scatter.line is not None:
        low, high = band_limits(scatter)
        figure.band(
            scatter.line.x,
            [min(max(value, low), high) for value in scatter.line.low],
            [max(min(value, high), low) for value in scatter.line.high],
            color="muted",
        )
        figure.line(scatter.line.x, scatter.line.mid, color="muted", style="dashed")
    if scatter.points:
        figure.hline(unit.unchanged)
    styles = choose_styles(scatter, grouped=grouped)
    if grouped and len(scatter.shown) == 1 and len(scatter.groups) <= MOST_GROUP_LINES:
        add_group_lines(figure, scatter)
    several = len(scatter.shown) > 1
    chosen = [point for point in scatter.points if point.key == highlight]
    # Names are placed in this order and points drawn over each other in it: the chosen one is named first, drawn last.
    if chosen:
        add_points(figure, chosen, emphasise(styles[style_key(chosen[0], several, grouped)]), named=True)
    for key, style in styles.items():
        points = [p for p in scatter.points if p.key != highlight and style_key(p, several, grouped) == key]
        # Many models at one domain would write its name over each other.
        add_points(figure, points, style, named=not several or key == next(iter(styles)))
    if chosen:
        add_points(figure, chosen, emphasise(styles[style_key(chosen[0], several, grouped)]), named=False)
    return figure


def note(scatter: Scatter) -> str:
    """What the title adds: the model, where there is one among several."""
    if len(scatter.shown) > 1:
        return f"{len(scatter.shown)} models"
    return scatter.shown[0].name if scatter.shown and len(scatter.cells) > 1 else ""


def style_key(point: Point, several: bool, grouped: bool) -> tuple[str, str]:
    """What a point's look depends on: its model where there are several, its group where they are told apart."""
    return (point.model if several else "", (point.group or NO_GROUP) if grouped else "")


def choose_styles(scatter: Scatter, *, grouped: bool) -> dict[tuple[str, str], Style]:
    """How each class of points looks, in the order of the legend."""
    several = len(scatter.shown) > 1
    models = [model.name for model in scatter.shown]
    groups = [group.name for group in scatter.groups]
    styles: dict[tuple[str, str], Style] = {}
    keys = {style_key(point, several, grouped): None for point in scatter.points}
    rank = {name: number for number, name in enumerate([*models, *groups])}
    for key in sorted(keys, key=lambda key: (rank.get(key[0], -1), rank.get(key[1], len(rank)))):
        model, group = key
        number = groups.index(group) if group in groups else len(groups)
        marker = MARKERS[number % len(MARKERS)] if grouped and group in groups else "●"
        marker = "·" if grouped and group == NO_GROUP else marker
        color: int | str = models.index(model) if several else number if grouped and group in groups else 0
        styles[key] = Style(", ".join(part for part in key if part), color, "+" if marker == "·" else marker)
    return styles


def emphasise(style: Style) -> Style:
    """The same in the colour of text, which no class of points has."""
    return style._replace(color="text", label="")


def add_points(figure: Figure, points: Sequence[Point], style: Style, *, named: bool) -> None:
    """The points with the range of their seeds as error bars."""
    if not points:
        return
    spread = any(point.n_seeds > 1 for point in points)
    figure.scatter(
        [point.similarity for point in points],
        [point.change for point in points],
        style.label,
        color=style.color,
        marker=style.marker,
        low=[point.change_low for point in points] if spread else None,
        high=[point.change_high for point in points] if spread else None,
        names=[point.domain for point in points] if named else (),
    )


def add_group_lines(figure: Figure, scatter: Scatter) -> None:
    """The line through each group alone."""
    for number, group in enumerate(scatter.groups):
        if group.line is not None:
            figure.line(group.line.x, group.line.mid, color=number, style="dotted")


def band_limits(scatter: Scatter) -> tuple[float, float]:
    """Where the band is cut: a lone far point makes it so wide that the points would be squeezed into a line."""
    changes = [end for point in scatter.points for end in (point.change_low, point.change_high)]
    room = BAND_ROOM * (max(changes) - min(changes))
    return min(changes) - room, max(changes) + room


def x_label(scatter: Scatter) -> str:
    """The measure with the sign it is drawn with: right is always closer."""
    if scatter.view is None or not scatter.points:
        return "similarity"
    unit = "bits/byte" if scatter.unit.name == "bits" else "nats/token"
    name = f"zero-shot loss, {unit}" if scatter.view.measure == ZERO_SHOT else scatter.view.title
    negated = scatter.points[0].similarity != scatter.points[0].value
    return f"{'−' if negated else ''}{name}  (more similar →)"
