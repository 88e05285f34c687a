"""Forecasts of a fitted law beside what was measured: curves per PTPP with bands, held-out points, scores, words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.laws.errors import LawError
from engine.laws.forecast import Setting
from engine.laws.forecast import forecast as predict_curve
from engine.laws.forms import form_of
from engine.laws.law import Law
from engine.laws.points import Points
from odyssey_tui.services.fit_words import (
    OpenParameter,
    ScoreRow,
    find_news,
    find_open,
    is_pretraining,
    make_row,
    score_rows,
    tell_curves,
    tell_facts,
)
from odyssey_tui.services.format import count
from odyssey_tui.services.stored_laws import (
    NO_FITS,
    NO_FITS_HINT,
    Family,
    anchors_of,
    distinct,
    form_of_fit,
    held_out_error,
    near,
    read_family,
    read_law,
)

if TYPE_CHECKING:
    from store.queries.fits import FitRow
    from store.queries.points import AdaptationPoint
    from store.workspace import Workspace

Axis = Literal["adapt_tokens", "atpp", "replay_ratio", "n_params"]
AXES: dict[Axis, str] = {
    "adapt_tokens": "adaptation tokens D",
    "atpp": "adaptation tokens per parameter (ATPP)",
    "replay_ratio": "replay ratio ρ",
    "n_params": "parameters N",
}
SAMPLES = 60
BAND = 0.9
"""Share of the bootstrap draws inside the band."""


@dataclass(frozen=True)
class Track:
    """The predicted curve at one PTPP; NaN bounds where there are no draws."""

    ptpp: float
    held_out: bool
    x: tuple[float, ...]
    loss: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Mark:
    """One measured point: ``track`` is the index of its PTPP's curve, ``split`` is fit, anchor or score (held out)."""

    track: int
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
class Choices:
    """What the reader may switch to."""

    roles: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    has_anchors: bool = False
    sizes: tuple[tuple[float, str], ...] = ()
    """(N, label)."""
    replays: tuple[float, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """Everything the forecast shows; ``reason`` and ``hint`` say why there is no curve."""

    role: str
    x: Axis
    domain: str = ""
    form: str = ""
    anchors: int = 0
    formula: str = ""
    source: str = ""
    at: Slice | None = None
    tracks: tuple[Track, ...] = ()
    marks: tuple[Mark, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    facts: tuple[str, ...] = ()
    open: tuple[OpenParameter, ...] = ()
    """Parameters that the data do not determine."""
    warnings: tuple[str, ...] = ()
    """How far the curves extrapolate."""
    stale: str = ""
    choices: Choices = Choices()
    reason: str = ""
    hint: str = ""


def forecast(
    workspace: Workspace,
    *,
    form: str | None = None,
    role: str = "target",
    domain: str | None = None,
    experiment: str | None = None,
    x: Axis = "adapt_tokens",
    size: str | None = None,
    replay_ratio: float | None = None,
    anchors: bool = False,
) -> Forecast:
    """Read the newest fits of a domain and draw one of them; unset options are chosen.

    The form is the one with the lowest held-out error; the size and replay ratio those with the most points.
    Raises LawError for a form, domain or size that there is no fit of.
    """
    from store.database import lease
    from store.queries.points import adaptation_points

    with lease(workspace) as con:
        family = read_family(con, domain, experiment)
        if family is None:
            return Forecast(role, x, reason=NO_FITS, hint=NO_FITS_HINT)
        measured = adaptation_points(con, role=role, domain=family.domain)
        qualities = {p.run_id: p.base_zero_shot_loss for p in measured if p.base_zero_shot_loss is not None}
        candidates = [fit for fit in family.of(role) if not is_pretraining(fit)]
        if not candidates and family.of(role):
            return tell_pretraining(family, role, x)
        if not candidates:
            return Forecast(role, x, family.domain, reason=f"No law of the {role} loss is stored.", hint=NO_FITS_HINT)
        chosen = choose_fit(candidates, form, anchors)
        law, stored, points = read_law(con, chosen, qualities)
    base = Forecast(
        role,
        x,
        family.domain,
        chosen.form,
        anchors_of(chosen),
        law.form.formula,
        law.form.source,
        scores=score_rows(family.of(role), chosen),
        facts=(*tell_facts(chosen, points), *tell_curves(family.of(role))),
        open=find_open(chosen)[0],
        stale=find_news(chosen, stored, measured),
        choices=Choices(
            tuple(name for name in ("target", "base") if family.of(name)),
            tuple(dict.fromkeys(fit.form for fit in candidates)),
            any(anchors_of(fit) for fit in candidates),
            list_sizes(points, measured),
            list_replays(points),
        ),
    )
    return draw(base, law, points, size, replay_ratio)


def tell_pretraining(family: Family, role: str, x: Axis) -> Forecast:
    """What there is where nothing was adapted: scores, and the law with the lowest held-out error; no curve."""
    fits = sorted(family.of(role), key=held_out_error)
    form = form_of_fit(fits[0])
    return Forecast(
        role,
        x,
        family.domain,
        fits[0].form,
        formula=form.formula,
        source=form.source,
        scores=tuple(make_row(fit, fit.form, fit.scores, "nothing", fit is fits[0]) for fit in fits),
        facts=("Parameters: " + ", ".join(f"{name} = {value:.4g}" for name, value in fits[0].params.items()) + ".",),
        reason="Only laws of pretraining are fitted here: nothing was adapted, so there is no curve of adaptation.",
        hint='D is tokens of pretraining; `odyssey sql "SELECT form, params, scores FROM fits"` has everything.',
    )


def choose_fit(candidates: list[FitRow], form: str | None, anchors: bool) -> FitRow:
    """The fit of ``form`` (without: the one that predicts the held-out points best), with anchors or without."""
    named = [fit for fit in candidates if form is None or fit.form == form]
    if not named:
        form_of(form or "")
        known = ", ".join(dict.fromkeys(fit.form for fit in candidates))
        raise LawError(f"{form} has not been fitted to this loss.", f"Forms that have: {known}.")
    matching = [fit for fit in named if (anchors_of(fit) > 0) == anchors]
    return min(matching or named, key=held_out_error)


def draw(base: Forecast, law: Law, points: Points, size: str | None, replay_ratio: float | None) -> Forecast:
    """``base`` with curves and points along its axis."""
    usable = points.select(np.isin(points.split, ("fit", "anchor", "score")))
    if not len(usable):
        return replace(base, reason="The stored fit has no points.", hint="Fit again: `odyssey fit`.")
    at = choose_slice(usable, base.choices, size, replay_ratio)
    shown = usable.select(on_slice(usable, at, base.x))
    values = getattr(shown, base.x)
    if not len(values):
        return replace(base, at=at, reason="No point was measured at this size and replay ratio.", hint="")
    ptpps = distinct(usable.ptpp) or [math.nan]
    member = np.array([nearest_group(ptpps, ptpp) for ptpp in shown.ptpp])
    held_out = {nearest_group(ptpps, ptpp) for ptpp in usable.ptpp[usable.split == "score"]}
    grid = spread(values, base.x)
    try:
        curves = [predict_curve(law, setting_of(usable, at, ptpp), base.x, grid, BAND) for ptpp in ptpps]
    except LawError as refusal:
        return replace(base, at=at, reason=refusal.message, hint=refusal.hint)
    tracks = tuple(
        Track(
            curve.ptpp,
            index in held_out,
            *(tuple(part.tolist()) for part in (curve.x, curve.loss, curve.low, curve.high)),
        )
        for index, curve in enumerate(curves)
    )
    marks = tuple(
        Mark(int(track), str(split), float(value), float(loss), str(run))
        for track, split, value, loss, run in zip(member, shown.split, values, shown.loss, shown.run, strict=True)
    )
    beyond = {symbol: factor for curve in curves for symbol, factor in curve.extrapolation.items() if factor > 1.3}
    reach = ", ".join(f"{factor:.3g}× in {symbol}" for symbol, factor in sorted(beyond.items()))
    warnings = (f"The curves reach beyond the fitted points: {reach}.",) if reach else ()
    return replace(base, at=at, tracks=tracks, marks=marks, warnings=warnings)


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


def choose_slice(points: Points, choices: Choices, size: str | None, replay_ratio: float | None) -> Slice:
    """The size and replay ratio asked for, else those with the most held-out, then most, points; the commonest ATPP."""
    n_params = size_named(choices, size) if size is not None else commonest(points, points.n_params)
    of_size = points.select(near(points.n_params, n_params))
    if replay_ratio is None:
        replay_ratio = commonest(of_size, of_size.replay_ratio)
    else:
        replay_ratio = min(choices.replays, key=lambda known: abs(known - replay_ratio))
    return Slice(n_params, replay_ratio, commonest(of_size, of_size.atpp))


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
    if x in ("replay_ratio", "n_params"):
        keep &= near(points.atpp, at.atpp)
    return keep


def spread(values: np.ndarray, x: Axis) -> np.ndarray:
    """Where the curves are evaluated: the measured range and a little beyond."""
    low, high = float(values.min()), float(values.max())
    if x == "replay_ratio":
        return np.linspace(max(0.0, low), min(1.0, max(high, 0.5)), SAMPLES)
    return np.geomspace(low / 1.25, high * 1.6, SAMPLES)


def list_sizes(points: Points, measured: list[AdaptationPoint]) -> tuple[tuple[float, str], ...]:
    """Distinct N with the labels their runs bear."""
    labels = {float(point.n_params): point.size for point in measured if point.n_params and point.size}
    sizes = []
    for n_params in distinct(points.n_params):
        label = next((name for known, name in labels.items() if near(np.array([known]), n_params)[0]), None)
        sizes.append((n_params, label or count(n_params)))
    return tuple(sizes)


def list_replays(points: Points) -> tuple[float, ...]:
    """Distinct replay ratios, ascending."""
    known = points.replay_ratio[np.isfinite(points.replay_ratio)]
    return tuple(sorted({round(float(value), 4) for value in known}))
