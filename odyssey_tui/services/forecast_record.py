"""A forecast as tables and as one record of everything: what is printed, exported and given to other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.figure_export import Exportable
from odyssey_tui.services.forecast_figure import View, draw_view
from odyssey_tui.services.format import number
from odyssey_tui.services.residuals import percent
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from odyssey_tui.services.forecast import Forecast


def significant(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


SCORES = (
    Column("form", "form"),
    Column("anchors", "anchors", drop=3),
    Column("n", "n"),
    Column("mape", "MAPE %", lambda v: number(v, 2)),
    Column("mae_rel_mean", "mean|e|/L", lambda v: number(v, 4), drop=5),
    Column("mae_rel_sum", "Σ|e|/ΣL", lambda v: number(v, 4), drop=4),
    Column("rmse", "RMSE", lambda v: number(v, 4), drop=2),
    Column("slope", "slope", lambda v: number(v, 3)),
    Column("intercept", "icept", lambda v: number(v, 3), drop=6),
    Column("r2", "R²", lambda v: number(v, 3), drop=7),
    Column("training_mape", "fit %", lambda v: number(v, 2), drop=3),
    Column("saw", "saw at held-out P", drop=8),
)
PARAMETERS = (
    Column("name", "parameter"),
    Column("value", "value", significant),
    Column("low", "low", significant),
    Column("high", "high", significant),
    Column("note", "", drop=1),
    Column("meaning", "meaning", drop=2),
)
RESIDUALS = (
    Column("split", "split"),
    Column("n_params", "N", lambda v: f"{v:.3g}"),
    Column("ptpp", "P", lambda v: f"{v:.3g}"),
    Column("atpp", "A", lambda v: f"{v:.3g}"),
    Column("adapt_tokens", "D", lambda v: f"{v:.3g}", drop=2),
    Column("replay_ratio", "ρ", lambda v: f"{v:.2g}"),
    Column("loss", "loss", lambda v: number(v, 4)),
    Column("predicted", "predicted", lambda v: number(v, 4)),
    Column("error", "error", lambda v: percent(v, 2), right=True),
    Column("run_id", "run", drop=3),
)
BY_AXIS = (
    Column("axis", "by"),
    Column("value", "value", significant),
    Column("n_held_out", "held out"),
    Column("bias_held_out", "mean", lambda v: percent(v, 2), right=True),
    Column("size_held_out", "mean |e|", lambda v: percent(v, 2).lstrip("+"), right=True),
    Column("n_fit", "fitted"),
    Column("bias_fit", "mean", lambda v: percent(v, 2), right=True),
    Column("size_fit", "mean |e|", lambda v: percent(v, 2).lstrip("+"), right=True),
)


def table_of(found: Forecast, view: View) -> tuple[Sequence[Column], list[dict[str, Any]]]:
    """The scores of all laws, or the residuals of the one on screen: of all points, or of those held out."""
    if view != "forecast":
        seen = [one for one in found.residuals if view == "residuals" or one.split == "score"]
        return RESIDUALS, [asdict(one) for one in seen]
    return SCORES, [asdict(row) for row in found.scores]


def record(found: Forecast) -> dict[str, Any]:
    """Everything."""
    return asdict(found)


def exportable(found: Forecast, view: View = "forecast") -> Exportable:
    """What the screen shows, for files."""
    columns, rows = table_of(found, view)
    anchors = f"-{found.anchors}-anchors" if found.anchors else ""
    return Exportable(
        f"{view}-{found.domain}-{found.role}-{found.form}{anchors}".replace("/", "_"),
        draw_view(found, view),
        columns,
        rows,
        record(found) if found.scores else None,
    )
