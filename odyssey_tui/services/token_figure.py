"""The curve over positions as a figure, the same on the screen and on paper."""

from __future__ import annotations

from odyssey_tui.plots.figure import Figure
from odyssey_tui.services.token_details import PositionCurve
from odyssey_tui.services.token_words import counted


def draw_change(curve: PositionCurve) -> Figure:
    """Δ loss by position; above the line the loss rose."""
    figure = Figure(f"Δ loss by {curve.title}", label_of(curve), "ΔL, nats/token")
    if len(curve.position):
        figure.hline(0.0)
    return figure.line(curve.position, curve.delta, color=0)


def draw_losses(curve: PositionCurve) -> Figure:
    """Mean losses before and after by position."""
    figure = Figure(f"Loss by {curve.title}", label_of(curve), "loss, nats/token")
    figure.line(curve.position, curve.before, "before", color=0)
    return figure.line(curve.position, curve.after, "after", color=1)


def label_of(curve: PositionCurve) -> str:
    """What the axis counts, and how much of it makes a point."""
    return curve.title if curve.width == 1 else f"{curve.title} (means of {counted(curve.width, 'position')})"
