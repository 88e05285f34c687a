"""The similarity scatter as a figure, the same on the screen and on paper."""

from __future__ import annotations

from collections.abc import Sequence

from odyssey_tui.plots.figure import Figure
from odyssey_tui.services.scatter_views import ZERO_SHOT
from odyssey_tui.services.similarity import Point, Scatter

BAND_ROOM = 0.25
"""How far the band may reach beyond the points, as a share of their range."""


def draw_scatter(scatter: Scatter, highlight: str | None = None) -> Figure:
    """Named points over the regression line and its band; zero ΔL is marked. ``highlight``: a domain to stand out.

    Error bars span the seeds of a domain where it has several.
    """
    view = scatter.view
    title = "ΔL against similarity" if view is None else f"ΔL against {view.title}"
    figure = Figure(title, x_label(scatter), "ΔL, nats/token")
    if scatter.line is not None:
        low, high = band_limits(scatter)
        figure.band(
            scatter.line.x,
            [max(value, low) for value in scatter.line.low],
            [min(value, high) for value in scatter.line.high],
            color="muted",
        )
        figure.line(scatter.line.x, scatter.line.mid, color="muted", style="dashed")
    if scatter.points:
        figure.hline(0.0)
    chosen = [point for point in scatter.points if point.domain == highlight]
    others = [point for point in scatter.points if point.domain != highlight]
    # Names are placed in this order and points drawn over each other in it: the chosen one is named first, drawn last.
    for points, color, named in ((chosen, 1, True), (others, 0, True), (chosen, 1, False)):
        if points:
            add_points(figure, points, color, named=named)
    return figure


def add_points(figure: Figure, points: Sequence[Point], color: int, *, named: bool) -> None:
    """The points with the range of their seeds as error bars."""
    several = any(point.n_seeds > 1 for point in points)
    figure.scatter(
        [point.similarity for point in points],
        [point.delta for point in points],
        color=color,
        low=[point.delta_low for point in points] if several else None,
        high=[point.delta_high for point in points] if several else None,
        names=[point.domain for point in points] if named else (),
    )


def band_limits(scatter: Scatter) -> tuple[float, float]:
    """Where the band is cut: a lone far point makes it so wide that the points would be squeezed into a line."""
    deltas = [point.delta for point in scatter.points]
    room = BAND_ROOM * (max(deltas) - min(deltas))
    return min(deltas) - room, max(deltas) + room


def x_label(scatter: Scatter) -> str:
    """The measure with the sign it is drawn with: right is always closer."""
    if scatter.view is None or not scatter.points:
        return "similarity"
    name = "zero-shot loss" if scatter.view.measure == ZERO_SHOT else scatter.view.title
    negated = scatter.points[0].similarity != scatter.points[0].value
    return f"{'−' if negated else ''}{name}  (more similar →)"
