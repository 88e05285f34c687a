"""The comparison's figures: training curves, and the learning–forgetting plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.palette import RUNS
from odyssey_tui.services.compare import Comparison
from odyssey_tui.services.curve_names import TITLES
from odyssey_tui.services.curves import Curve, curve_figure

if TYPE_CHECKING:
    from store.workspace import Workspace


def read_compared(
    workspace: Workspace,
    found: Comparison,
    metric: str = "loss",
    axis: str = "tokens",
    *,
    labels: Mapping[str, str] | None = None,
    joined: bool = False,
) -> tuple[Curve, ...]:
    """The training curves of the compared runs; none where the metric cannot be overlaid. ``labels``: by run.

    ``joined``: the mean of runs that differ in their seed alone.
    """
    from odyssey_tui.services.overlays import Subject, join_seeds, read_overlay

    if metric not in found.metrics:
        return ()
    labels = labels or {run.run_id: run.label for run in found.runs}
    subjects = tuple(Subject(labels[run.run_id], (run.run_id,)) for run in found.runs)
    return read_overlay(workspace, join_seeds(workspace, subjects) if joined else subjects, metric, axis)[0]


def draw_curves(curves: Sequence[Curve], metric: str = "loss", axis: str = "tokens") -> Figure:
    """Curves of the compared runs; colours as on every screen."""
    figure = curve_figure(curves, metric, axis)
    figure.title = TITLES.get(metric, metric)
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
