"""Training curves as figures: the same on the Runs and Run screens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.plots.figure import Figure

if TYPE_CHECKING:
    from store.queries.curves import Series

X_AXES = {"tokens": "training tokens", "step": "step", "time": "seconds since the start"}
LABELS = {
    "loss": "training loss (nats/token)",
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_s": "tokens per second",
}


def axis_of(series: Sequence[Series], wanted: str) -> str:
    """The axis that all of ``series`` have: ``wanted``, but steps where a run (an imported one) recorded no tokens."""
    import numpy as np

    return "step" if wanted == "tokens" and not all(np.isfinite(one.tokens).any() for one in series) else wanted


@dataclass(frozen=True)
class Curve:
    """One metric of one run's branch; ``x`` in the units of the chosen axis."""

    label: str
    metric: str
    branch: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    axis: str = "tokens"
    """What ``x`` is: the axis asked for, but steps where tokens were not recorded."""


def curve_figure(curves: Sequence[Curve], metric: str, axis: str, note: str = "") -> Figure:
    """Curves of one metric in one chart; colours follow the order of the curves. ``note``: what is left out."""
    axis = curves[0].axis if curves else axis
    figure = Figure("", X_AXES[axis], LABELS.get(metric, metric), note=note)
    for index, curve in enumerate(curves):
        figure.line(curve.x, curve.y, curve.label, color=index)
    return figure
