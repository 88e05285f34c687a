"""Measured losses against those a law predicted, at points that it was not fitted to: a line of slope 1 is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey_tui.plots.figure import Figure
from odyssey_tui.services.format import count, signed
from odyssey_tui.services.stored_laws import distinct, near
from store.errors import DataError

if TYPE_CHECKING:
    from odyssey_tui.plots.series import Color


@dataclass(frozen=True)
class Predicted:
    """One held-out point; losses in nats per token."""

    n_params: float
    ptpp: float
    loss: float
    predicted: float


@dataclass(frozen=True)
class Calibration:
    """What one law predicts of its held-out points; the least-squares line is of measured on predicted losses."""

    law: str
    points: tuple[Predicted, ...]
    slope: float | None
    """None where it is not defined: of one point, or of one value."""
    intercept: float | None
    """Nats per token."""

    @property
    def words(self) -> str:
        """``slope 1.10, intercept −0.32``; empty where neither is defined."""
        if self.slope is None or self.intercept is None:
            return ""
        return f"slope {self.slope:.2f}, intercept {signed(self.intercept, 2)}"


@dataclass(frozen=True)
class Cloud:
    """Points that look alike."""

    label: str
    points: tuple[Predicted, ...]
    color: Color


def draw_calibration(title: str, laws: Sequence[Calibration], sizes: Mapping[float, str] | None = None) -> Figure:
    """Measured over predicted losses with the line of equality and each law's own line.

    One law has a colour for each PTPP, or for each size where there is one PTPP (``sizes``: their labels); several
    laws have a colour each. An empty figure where nothing is held out.
    """
    figure = Figure(title, "predicted loss (nats/token)", "measured loss (nats/token)")
    everything = [value for law in laws for point in law.points for value in (point.predicted, point.loss)]
    if not everything:
        return figure
    ends = [min(everything), max(everything)]
    figure.line(ends, ends, "equal", color="muted", style="dashed")
    if len(laws) == 1:
        (law,) = laws
        figure.note = ", ".join(part for part in (law.words, f"{len(law.points)} held out") if part)
        add_line(figure, law, "text")
        clouds = part(law.points, sizes or {})
    else:
        for index, law in enumerate(laws):
            add_line(figure, law, index)
        named = [(", ".join(words for words in (law.law, law.words) if words), law.points) for law in laws]
        clouds = [Cloud(label, points, index) for index, (label, points) in enumerate(named)]
    for cloud in clouds:
        predicted, measured = ([getattr(point, name) for point in cloud.points] for name in ("predicted", "loss"))
        figure.scatter(predicted, measured, cloud.label, color=cloud.color, marker="●", hollow=True)
    return figure


def add_line(figure: Figure, law: Calibration, color: Color) -> None:
    """The least-squares line over the law's predictions."""
    if law.slope is None or law.intercept is None:
        return
    ends = [extreme(point.predicted for point in law.points) for extreme in (min, max)]
    figure.line(ends, [law.intercept + law.slope * end for end in ends], color=color, style="solid")


def part(points: Sequence[Predicted], sizes: Mapping[float, str]) -> list[Cloud]:
    """The points by PTPP where several are held out, else by size; values within 5 % are one."""
    ptpps, ns = (np.array([getattr(point, name) for point in points], dtype=float) for name in ("ptpp", "n_params"))
    several = len(distinct(ptpps)) > 1
    values = ptpps if several else ns
    clouds = []
    left = np.ones(len(points), dtype=bool)
    for index, value in enumerate(distinct(values)):
        here = near(values, value) & left
        left &= ~here
        label = f"P {value:.3g}" if several else f"N {name_size(value, sizes)}"
        clouds.append(Cloud(label, tuple(point for point, its in zip(points, here, strict=True) if its), index))
    if left.any():
        unknown = tuple(point for point, its in zip(points, left, strict=True) if its)
        clouds.append(Cloud("P not known" if several else "N not known" if clouds else "", unknown, len(clouds)))
    return clouds


def name_size(n_params: float, sizes: Mapping[float, str]) -> str:
    """Its label, else the number of parameters."""
    named = np.array(list(sizes), dtype=float)
    here = near(named, n_params) if len(named) else named
    return next((label for label, same in zip(sizes.values(), here, strict=True) if same), count(n_params))


def of_table(fits: Sequence[Mapping[str, Any]]) -> list[Calibration]:
    """Those of ``fit_table``'s fits that predicted held-out rows. DataError where none did."""
    from engine.laws.trials import NOT_SCORED

    found = [
        Calibration(
            f"{fit['form']} + {fit['anchors']} anchors" if fit["anchors"] else fit["form"],
            tuple(
                Predicted(*(row[name] for name in ("n_params", "ptpp", "loss", "predicted")))
                for row in fit["predictions"]
            ),
            fit["scores"].get("slope"),
            fit["scores"].get("intercept"),
        )
        for fit in fits
        if fit["predictions"]
    ]
    if not found:
        why = next((one for fit in fits for one in fit["identifiability"] if one.startswith(NOT_SCORED)), "")
        raise DataError(f"no held-out row was predicted, so no figure was written. {why}".strip())
    return found
