"""A forecast as a figure, the same on the screen and on paper: curves over points, or what the law gets wrong."""

from __future__ import annotations

import math
from typing import Literal

from odyssey_tui.plots.figure import Figure
from odyssey_tui.services.calibration import Calibration, Predicted, draw_calibration
from odyssey_tui.services.forecast import Forecast
from odyssey_tui.services.forecast_curves import AXES, Track
from odyssey_tui.services.format import count

View = Literal["forecast", "residuals", "calibration"]
"""Curves over points; the error at every point; measured against predicted losses at the held-out ones."""
MARKS = (("fit", False, "●"), ("score", True, "●"), ("anchor", False, "◆"))
"""How points of each split look: (split, hollow, marker)."""


def draw_view(found: Forecast, view: View) -> Figure:
    """The forecast seen so; empty where there is nothing to draw."""
    drawers = {"forecast": draw_forecast, "residuals": draw_residuals, "calibration": draw_held_out}
    return drawers[view](found)


def draw_forecast(found: Forecast) -> Figure:
    """One curve per PTPP with its band; measured points filled, held-out ones hollow, anchors as diamonds."""
    figure = Figure(
        f"{found.role} loss on {found.domain} · {title_of(found)}",
        AXES[found.x],
        "loss (nats/token)",
        log_x=found.x != "replay_ratio",
        note=describe_slice(found),
    )
    for index, track in enumerate(found.tracks):
        if any(low == low for low in track.low):
            figure.band(track.x, track.low, track.high, label_of(track), color=color_of(found, index))
    for index, track in enumerate(found.tracks):
        figure.line(track.x, track.loss, label_of(track), color=color_of(found, index), style="solid")
    held_out = {track.ptpp for track in found.tracks if track.held_out}
    for index, ptpp in enumerate(found.ptpps or (math.nan,)):
        for split, hollow, marker in MARKS:
            marks = [mark for mark in found.marks if mark.group == index and mark.split == split]
            if marks:
                words = f"P {ptpp:.3g}" + (" anchors" if split == "anchor" else " held out" if ptpp in held_out else "")
                x, y = [mark.x for mark in marks], [mark.loss for mark in marks]
                figure.scatter(x, y, words, color=index, hollow=hollow, marker=marker)
    return figure


def color_of(found: Forecast, index: int) -> int | str:
    """A curve's colour is its PTPP's; the one along PTPP has none of theirs."""
    return "text" if found.x == "ptpp" else index


def label_of(track: Track) -> str:
    """What the legend calls a curve."""
    return "law" if math.isnan(track.ptpp) else f"P {track.ptpp:.3g}" + (" held out" if track.held_out else "")


def draw_residuals(found: Forecast) -> Figure:
    """Errors of all points against the axis, a colour for each PTPP; held-out ones hollow, anchors as diamonds."""
    figure = Figure(
        f"errors of {title_of(found)} · {found.role} loss on {found.domain}",
        AXES[found.x],
        "predicted / measured − 1 (%)",
        log_x=found.x != "replay_ratio",
    )
    if not found.residuals:
        return figure
    figure.hline(0.0)
    for index, ptpp in enumerate(found.ptpps or (math.nan,)):
        for split, hollow, marker in MARKS:
            ones = [one for one in found.residuals if one.split == split and group_of(found, one.ptpp) == index]
            if ones:
                words = f"P {ptpp:.3g}" + {"score": " held out", "anchor": " anchors"}.get(split, "")
                x, y = [getattr(one, found.x) for one in ones], [100 * one.error for one in ones]
                figure.scatter(x, y, words, color=index, hollow=hollow, marker=marker)
    return figure


def draw_held_out(found: Forecast) -> Figure:
    """Measured against predicted losses of the held-out points, whatever the slice."""
    points = tuple(
        Predicted(one.n_params, one.ptpp, one.loss, one.predicted) for one in found.residuals if one.split == "score"
    )
    shown = next((row for row in found.scores if row.shown), None)
    slope, intercept = (shown.slope, shown.intercept) if shown is not None else (None, None)
    title = f"calibration of {title_of(found)} · {found.role} loss on {found.domain}"
    return draw_calibration(title, [Calibration(title_of(found), points, slope, intercept)], dict(found.choices.sizes))


def group_of(found: Forecast, ptpp: float) -> int:
    """The place of the nearest PTPP among those told apart."""
    if not found.ptpps or not ptpp > 0:
        return 0
    return min(range(len(found.ptpps)), key=lambda index: abs(math.log(found.ptpps[index] / ptpp)))


def title_of(found: Forecast) -> str:
    """The form, and its anchors."""
    return f"{found.form} + {found.anchors} anchors" if found.anchors else found.form


def describe_slice(found: Forecast) -> str:
    """What is held fixed."""
    if found.at is None:
        return ""
    label = next((name for n, name in found.choices.sizes if n == found.at.n_params), count(found.at.n_params))
    parts = [] if found.x == "n_params" else [f"N {label}"]
    if found.x != "replay_ratio":
        parts.append(f"ρ {found.at.replay_ratio:g}")
    if found.x in ("replay_ratio", "n_params", "ptpp"):
        parts.append(f"ATPP {found.at.atpp:.3g}")
    return ", ".join(parts)
