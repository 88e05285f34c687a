"""What a forecast draws: which slice of the data, the curves of a law along one axis, the points measured there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.laws.errors import LawError
from engine.laws.forecast import Curve, Setting
from engine.laws.forecast import forecast as predict_curve
from engine.laws.law import Law
from engine.laws.points import Points
from odyssey_tui.services.stored_laws import distinct, near

Axis = Literal["adapt_tokens", "atpp", "replay_ratio", "n_params", "ptpp"]
AXES: dict[Axis, str] = {
    "adapt_tokens": "adaptation tokens D",
    "atpp": "adaptation tokens per parameter (ATPP)",
    "replay_ratio": "replay ratio ρ",
    "n_params": "parameters N",
    "ptpp": "pretraining tokens per parameter (PTPP)",
}
SAMPLES = 60
BAND = 0.9
"""Share of the bootstrap draws inside the band."""
NOTICED = 1.3
"""Factor beyond the fitted range from which on it is said."""


@dataclass(frozen=True)
class Track:
    """A predicted curve; NaN bounds where there are no draws."""

    ptpp: float
    """NaN where PTPP is the axis."""
    held_out: bool
    x: tuple[float, ...]
    loss: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Mark:
    """One measured point: ``group`` is the index of its PTPP, ``split`` is fit, anchor or score (held out)."""

    group: int
    split: str
    x: float
    loss: float
    run_id: str


@dataclass(frozen=True)
class Slice:
    """What is held fixed while one axis varies."""

    n_params: float
    replay_ratio: float
    atpp: float


@dataclass(frozen=True)
class Drawing:
    """Curves and points on one slice; ``reason`` and ``hint`` say why there are none."""

    at: Slice | None = None
    tracks: tuple[Track, ...] = ()
    marks: tuple[Mark, ...] = ()
    warnings: tuple[str, ...] = ()
    """How far the curves extrapolate."""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Choices:
    """What the reader may switch to."""

    roles: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    anchors: tuple[int, ...] = ()
    """Of the form on screen: how many anchors its fits saw, 0 for none."""
    sizes: tuple[tuple[float, str], ...] = ()
    """(N, label)."""
    replays: tuple[float, ...] = ()
    atpps: tuple[float, ...] = ()
    splits: tuple[Split, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """A fit run of the domain: which PTPP were fitted, which held out, how many anchors, which states."""

    run_id: str
    name: str
    t: float


@dataclass(frozen=True)
class SliceWanted:
    """What to hold fixed, where the reader said so."""

    size: str | None = None
    """A label or a number of parameters."""
    replay_ratio: float | None = None
    """The nearest measured one is taken."""
    atpp: float | None = None


def used(points: Points) -> np.ndarray:
    """Which points were fitted or held out, and not left out."""
    return np.isin(points.split, ("fit", "anchor", "score"))


def draw(law: Law, points: Points, x: Axis, wanted: SliceWanted, choices: Choices) -> Drawing:
    """Curves and measured points along ``x``. Raises LawError for a size that no point has."""
    usable = points.select(used(points))
    if not len(usable):
        return Drawing(reason="The stored fit has no points.", hint="Fit again: `odyssey fit`.")
    at = choose_slice(usable, choices, wanted)
    shown = usable.select(on_slice(usable, at, x))
    values = getattr(shown, x)
    shown, values = shown.select(np.isfinite(values)), values[np.isfinite(values)]
    if not len(values):
        return Drawing(at, reason="No point was measured on this slice along this axis.")
    ptpps = distinct(usable.ptpp) or [math.nan]
    member = [nearest_group(ptpps, ptpp) for ptpp in shown.ptpp]
    marks = tuple(
        Mark(group, str(split), float(value), float(loss), str(run))
        for group, split, value, loss, run in zip(member, shown.split, values, shown.loss, shown.run, strict=True)
    )
    try:
        curves = predict_all(law, usable, at, x, ptpps, spread(values, x))
    except LawError as refusal:
        return Drawing(at, marks=marks, reason=refusal.message, hint=refusal.hint)
    held_out = {nearest_group(ptpps, ptpp) for ptpp in usable.ptpp[usable.split == "score"]}
    tracks = tuple(
        Track(
            curve.ptpp,
            x != "ptpp" and index in held_out,
            *(tuple(part.tolist()) for part in (curve.x, curve.loss, curve.low, curve.high)),
        )
        for index, curve in enumerate(curves)
    )
    return Drawing(at, tracks, marks, tell_reach(curves))


def predict_all(law: Law, points: Points, at: Slice, x: Axis, ptpps: list[float], grid: np.ndarray) -> list[Curve]:
    """One curve per PTPP along ``x``, or one along PTPP.

    A law that reads a loss before adaptation is drawn through the checkpoints where it was measured: along N and P it
    is another at each.
    """
    reads_checkpoint = {"zero_shot_loss", "quality"} & set(law.form.needs)
    groups = [math.nan] if x == "ptpp" else ptpps
    if x not in ("n_params", "ptpp") or not reads_checkpoint:
        setting = [replace(setting_of(points, at, ptpp), ptpp=ptpp) for ptpp in groups]
        return [predict_curve(law, one, x, grid, BAND) for one in setting]
    curves = []
    for ptpp in groups:
        knots = distinct(points.n_params) if x == "n_params" else ptpps
        places = [(replace(at, n_params=knot), ptpp) if x == "n_params" else (at, knot) for knot in knots]
        settings = [setting_of(points, *place) for place in places]
        parts = [
            predict_curve(law, setting, x, [knot], BAND)
            for setting, knot in zip(settings, knots, strict=True)
            if all(math.isfinite(getattr(setting, name)) for name in reads_checkpoint)
        ]
        if parts:
            curves.append(join(parts, ptpp))
    if not curves:
        raise LawError(
            f"{law.form.name} needs a loss before adaptation at every checkpoint it is drawn through.",
            "Evaluate the base states on this text.",
        )
    return curves


def join(parts: list[Curve], ptpp: float) -> Curve:
    """Curves of one point each as one."""
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "loss", "low", "high")}
    reach: dict[str, float] = {}
    for part in parts:
        reach = {
            **reach,
            **{symbol: max(factor, reach.get(symbol, 1.0)) for symbol, factor in part.extrapolation.items()},
        }
    return replace(parts[0], ptpp=ptpp, extrapolation=reach, **joined)


def tell_reach(curves: list[Curve]) -> tuple[str, ...]:
    """How far the curves reach beyond the fitted points."""
    beyond = {symbol: factor for curve in curves for symbol, factor in curve.extrapolation.items() if factor > NOTICED}
    reach = ", ".join(f"{factor:.3g}× in {symbol}" for symbol, factor in sorted(beyond.items()))
    return (f"The curves reach beyond the fitted points: {reach}.",) if reach else ()


def nearest_group(groups: list[float], value: float) -> int:
    """Index of the PTPP group a value belongs to; the first one where PTPP are unknown."""
    distances = [abs(math.log(group / value)) if group > 0 and value > 0 else math.inf for group in groups]
    return distances.index(min(distances))


def setting_of(points: Points, at: Slice, ptpp: float) -> Setting:
    """The slice at one PTPP, with the zero-shot losses measured on its checkpoints."""
    checkpoint = near(points.n_params, at.n_params) & (near(points.ptpp, ptpp) | math.isnan(ptpp))
    known = points.select(checkpoint)
    return Setting(
        at.n_params,
        ptpp,
        at.replay_ratio,
        atpp=at.atpp,
        zero_shot_loss=mean_known(known.zero_shot_loss),
        quality=mean_known(known.quality),
    )


def mean_known(values: np.ndarray) -> float:
    """Mean of what was measured, NaN when nothing was."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def choose_slice(points: Points, choices: Choices, wanted: SliceWanted) -> Slice:
    """What is asked for, else the size and replay ratio with the most held-out, then most, points, and the commonest
    ATPP."""
    n_params = size_named(choices, wanted.size) if wanted.size is not None else commonest(points, points.n_params)
    of_size = points.select(near(points.n_params, n_params))
    replay = commonest(of_size, of_size.replay_ratio)
    if wanted.replay_ratio is not None:
        replay = min(choices.replays, key=lambda known: abs(known - wanted.replay_ratio), default=replay)
    atpp = commonest(of_size, of_size.atpp)
    if wanted.atpp is not None:
        atpp = min(choices.atpps, key=lambda known: abs(math.log(known / wanted.atpp)), default=atpp)
    return Slice(n_params, replay, atpp)


def size_named(choices: Choices, size: str) -> float:
    """N of a size by its label or its number of parameters."""
    for n_params, label in choices.sizes:
        if size in (label, f"{n_params:g}", str(round(n_params))):
            return n_params
    raise LawError(f"No point has the size {size!r}.", f"Sizes: {', '.join(label for _, label in choices.sizes)}.")


def commonest(points: Points, values: np.ndarray) -> float:
    """The value with the most held-out points, then the most points, then the largest; equal within 5 %."""
    held_out = points.split == "score"
    groups = [*distinct(values), *([0.0] if (values == 0).any() else [])]
    if not groups:
        return math.nan
    return max(groups, key=lambda v: (near(values, v)[held_out].sum(), near(values, v).sum(), v))


def on_slice(points: Points, at: Slice, x: Axis) -> np.ndarray:
    """Which points differ from the slice along ``x`` only."""
    keep = np.ones(len(points), dtype=bool)
    if x != "n_params":
        keep &= near(points.n_params, at.n_params)
    if x != "replay_ratio":
        keep &= near(points.replay_ratio, at.replay_ratio)
    if x in ("replay_ratio", "n_params", "ptpp"):
        keep &= near(points.atpp, at.atpp)
    return keep


def spread(values: np.ndarray, x: Axis) -> np.ndarray:
    """Where the curves are evaluated: the measured range and a little beyond."""
    low, high = float(values.min()), float(values.max())
    if x == "replay_ratio":
        return np.linspace(max(0.0, low), min(1.0, max(high, 0.5)), SAMPLES)
    return np.geomspace(low / 1.25, high * 1.6, SAMPLES)
