"""Training curves: read from the store over any axis, and drawn the same on every screen and by every command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.palette import DARK, RUNS, Palette
from odyssey_tui.services.curve_names import LABELS, PLANNED, X_AXES

if TYPE_CHECKING:
    from store.queries.curves import Series
    from store.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one run's branch: float64 [n] each, ``x`` in the units of ``axis``, NaN where unknown."""

    run_id: str
    label: str
    metric: str
    branch: str
    x: np.ndarray
    y: np.ndarray
    axis: str = "tokens"
    """What ``x`` is: the axis asked for, or another where a run did not record that."""
    low: np.ndarray | None = None
    """Of a mean over seeds: one standard deviation below, and above, it."""
    high: np.ndarray | None = None
    n_points: int = 0
    """Of a mean over seeds: how many values it rests on."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Curve):
            return NotImplemented
        named = (self.run_id, self.label, self.metric, self.branch, self.axis)
        if named != (other.run_id, other.label, other.metric, other.branch, other.axis):
            return False
        pairs = ((self.x, other.x), (self.y, other.y), (self.low, other.low), (self.high, other.high))
        return all(one is two or _alike(one, two) for one, two in pairs)


def _alike(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other, equal_nan=True)


def read_curves(workspace: Workspace, run_ids: Sequence[str], metric: str, axis: str) -> list[Curve]:
    """One metric over an axis of ``X_AXES``: of one run every branch, of several their trunks.

    Where a run did not record the axis all curves are over the next that all have, and say so.
    """
    from store.database import lease
    from store.queries import curves, runs

    branch = "trunk" if len(run_ids) > 1 else None
    with lease(workspace) as con:
        series = curves.read_curves(con, run_ids, metric, branch=branch)
        work = curves.read_curves(con, run_ids, "flops", branch=branch) if axis == "flops" else []
        names = {run.run_id: run.name for run in runs.find_runs(con, list(run_ids))} if len(run_ids) > 1 else {}
    return shape_curves(series, axis, names, work)


def shape_curves(
    series: Sequence[Series], axis: str, names: Mapping[str, str], work: Sequence[Series] = ()
) -> list[Curve]:
    """Stored series as curves over one axis. ``names`` label the runs; ``work`` holds the same branches' FLOPs."""
    begun: dict[str, float] = {}
    for found in series:
        begun[found.run_id] = min(begun.get(found.run_id, float("inf")), float(found.t[0]))
    spent = {(one.run_id, one.branch): one for one in work}
    axis = axis_of(series, axis, spent)
    shaped = []
    for found in series:
        if axis == "flops":
            own = spent[found.run_id, found.branch]
            x = np.interp(found.step, own.step, own.value)
        else:
            x = {"tokens": found.tokens, "step": found.step, "time": found.t - begun[found.run_id]}[axis]
        name = names.get(found.run_id, "")
        label = name if found.branch == "trunk" and name else " ".join(part for part in (name, found.branch) if part)
        columns = (np.asarray(column, dtype=np.float64) for column in (x, found.value))
        shaped.append(Curve(found.run_id, label, found.name, found.branch, *columns, axis))
    return shaped


def axis_of(series: Sequence[Series], wanted: str, spent: Mapping[tuple[str, str], Series] | None = None) -> str:
    """The axis that all of ``series`` have: ``wanted``, else tokens, else steps (an imported run may know no more)."""
    if wanted == "flops" and not all((one.run_id, one.branch) in (spent or {}) for one in series):
        wanted = "tokens"
    return "step" if wanted == "tokens" and not all(np.isfinite(one.tokens).any() for one in series) else wanted


def curve_figure(
    curves: Sequence[Curve], metric: str, axis: str, note: str = "", palette: Palette | None = None
) -> Figure:
    """Curves of one metric in one chart. ``note``: what is left out.

    A run has its colour on every screen, or that of ``palette``; branches of one run are told apart by the next ones.
    """
    axis = curves[0].axis if curves else axis
    run_ids = list(dict.fromkeys(curve.run_id for curve in curves))
    # A run that is only looked at takes none of the colours that runs keep.
    colors = (palette or (RUNS if len(run_ids) > 1 else Palette())).indices(run_ids)
    averaged = sum(curve.n_points for curve in curves)
    notes = [note] if note else []
    if averaged:
        notes.append(f"mean ± sd of {averaged:,} points")
    if len(run_ids) > len(DARK):
        notes.append(f"past {len(DARK)} colours repeat, with other dashes")
    figure = Figure("", X_AXES[axis], LABELS.get(metric, metric), note=" · ".join(notes))
    for index, curve in enumerate(curves):
        color = colors[curve.run_id] if len(run_ids) > 1 else colors[curve.run_id] + index
        if curve.low is not None and curve.high is not None:
            figure.band(curve.x, curve.low, curve.high, curve.label, color=color)
        figure.line(curve.x, curve.y, curve.label, color=color, noisy=metric not in PLANNED)
    return figure
