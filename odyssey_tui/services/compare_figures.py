"""The comparison's figures: loss curves over tokens, and the learning–forgetting plane."""

from __future__ import annotations

from collections.abc import Mapping

from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.palette import RUNS
from odyssey_tui.services.compare import Comparison
from odyssey_tui.services.curves import X_AXES


def draw_curves(found: Comparison, labels: Mapping[str, str] | None = None) -> Figure:
    """Training loss of every run; empty where losses cannot be compared. ``labels``: by run."""
    axis = found.curves[0].axis if found.curves else "tokens"
    figure = Figure("Training loss", X_AXES[axis], "loss (nats/token)")
    colors = RUNS.indices([run.run_id for run in found.runs])
    labels = labels or {run.run_id: run.label for run in found.runs}
    for curve in found.curves:
        figure.line(curve.x, curve.loss, labels[curve.run_id], color=colors[curve.run_id])
    return figure


def draw_plane(found: Comparison, labels: Mapping[str, str] | None = None) -> Figure:
    """Each run's path over its adaptation budgets: left is learning, up is forgetting; its last state is marked.

    The legend says of each run which variant it is; ``labels``, by run, stand there instead.
    """
    figure = Figure("Learning and forgetting", f"target ΔL ({found.unit})", f"base ΔL ({found.unit})")
    colors = RUNS.indices([run.run_id for run in found.runs])
    labels = labels or {run.run_id: run.full_label for run in found.runs}
    drawn = {run_id: steps for run_id, steps in found.planes.items() if steps}
    if drawn:
        figure.vline(0.0).hline(0.0)
    for run_id, steps in drawn.items():
        x, y = [step.target_delta for step in steps], [step.base_delta for step in steps]
        figure.line(x, y, color=colors[run_id])
        figure.scatter(x[:-1], y[:-1], color=colors[run_id], hollow=True)
        figure.scatter(x[-1:], y[-1:], labels[run_id], color=colors[run_id])
    return figure
