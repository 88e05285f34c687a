"""Forecasts of a fitted law beside what was measured: curves per PTPP with bands, held-out points, scores, words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.laws.errors import LawError
from engine.laws.forms import form_of
from engine.laws.points import Points
from odyssey_tui.services.fit_words import (
    OpenParameter,
    ParameterRow,
    ScoreRow,
    find_open,
    is_pretraining,
    list_parameters,
    make_row,
    score_rows,
    tell_code,
    tell_curves,
    tell_facts,
)
from odyssey_tui.services.forecast_curves import Axis, Choices, Mark, Slice, SliceWanted, Split, Track, draw, used
from odyssey_tui.services.format import count
from odyssey_tui.services.residuals import Lean, Residual, ResidualRow, find_lean, list_residuals, summarise
from odyssey_tui.services.stored_laws import (
    NO_FITS,
    NO_FITS_HINT,
    Family,
    anchors_of,
    choose_family,
    distinct,
    form_of_fit,
    held_out_error,
    list_domains,
    list_families,
    near,
    read_law,
)

if TYPE_CHECKING:
    from store.queries.fits import FitRow
    from store.queries.points import AdaptationPoint
    from store.workspace import Workspace

AnchorsWanted = int | Literal["any"]


@dataclass(frozen=True)
class Forecast:
    """Everything the forecast shows; ``reason`` and ``hint`` say why there is no curve."""

    role: str
    x: Axis
    domain: str = ""
    form: str = ""
    anchors: int = 0
    split: str = ""
    """The fit run."""
    formula: str = ""
    source: str = ""
    at: Slice | None = None
    ptpps: tuple[float, ...] = ()
    """The PTPP that are told apart by colour; marks and residuals name them by their place."""
    tracks: tuple[Track, ...] = ()
    marks: tuple[Mark, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    parameters: tuple[ParameterRow, ...] = ()
    residuals: tuple[Residual, ...] = ()
    """Of every point that was fitted or scored, whatever the slice."""
    residual_rows: tuple[ResidualRow, ...] = ()
    """The same by P, N, ρ and A."""
    lean: tuple[Lean, ...] = ()
    """Axes that the errors go with."""
    facts: tuple[str, ...] = ()
    open: tuple[OpenParameter, ...] = ()
    """Parameters that the data do not determine."""
    warnings: tuple[str, ...] = ()
    """How far the curves extrapolate."""
    stale: str = ""
    choices: Choices = field(default_factory=Choices)
    reason: str = ""
    hint: str = ""


def forecast(
    workspace: Workspace,
    *,
    form: str | None = None,
    role: str = "target",
    domain: str | None = None,
    experiment: str | None = None,
    split: str | None = None,
    x: Axis = "adapt_tokens",
    size: str | None = None,
    replay_ratio: float | None = None,
    atpp: float | None = None,
    anchors: AnchorsWanted = 0,
) -> Forecast:
    """Read the stored fits of a domain and draw one of them; unset options are chosen.

    The fits are the newest fit run's, or those of ``split``; the form is the one with the lowest held-out error, the
    slice the one with the most points. ``anchors``: of the fits with that number, ``any`` for the fewest there are;
    where the form has none such, its fit without. Raises LawError for a form, domain, split or size that there is no
    fit of.
    """
    from odyssey_tui.services.fit_news import find_news
    from odyssey_tui.services.populations import split_populations
    from odyssey_tui.services.similarity import read_surroundings
    from store.database import lease
    from store.queries.fits import list_fits
    from store.queries.points import adaptation_points

    with lease(workspace) as con:
        families = list_families(con, domain, experiment)
        if not families:
            return Forecast(role, x, reason=NO_FITS, hint=NO_FITS_HINT)
        family = choose_family(families, split)
        choices = Choices(
            tuple(name for name in ("target", "base") if family.of(name)),
            splits=tuple(Split(one.run_id or "", one.split, one.t) for one in families),
            domains=tuple(list_domains(list_fits(con, experiment=experiment))),
        )
        found = Forecast(role, x, family.domain, split=family.run_id or "", choices=choices)
        measured = adaptation_points(con, role=role, domain=family.domain)
        qualities = {p.run_id: p.base_zero_shot_loss for p in measured if p.base_zero_shot_loss is not None}
        candidates = [fit for fit in family.of(role) if not is_pretraining(fit)]
        if not candidates and family.of(role):
            return tell_pretraining(found, family)
        if not candidates:
            return replace(found, reason=f"No law of the {role} loss is stored.", hint=NO_FITS_HINT)
        chosen = choose_fit(candidates, form, anchors)
        law, stored, points = read_law(con, chosen, qualities)
        populations = split_populations(measured, read_surroundings(con))
    residuals = list_residuals(stored)
    rows = summarise(residuals)
    found = replace(
        found,
        form=chosen.form,
        anchors=anchors_of(chosen),
        formula=law.form.formula,
        source=law.form.source,
        ptpps=tuple(distinct(points.ptpp[used(points)])),
        scores=score_rows(family.of(role), chosen),
        parameters=list_parameters(chosen, law),
        residuals=residuals,
        residual_rows=rows,
        lean=find_lean(residuals),
        facts=(*tell_facts(chosen, points), *tell_curves(family.of(role)), *tell_code(chosen)),
        open=find_open(chosen)[0],
        stale=find_news(stored, measured, populations),
        choices=replace(
            choices,
            forms=tuple(dict.fromkeys(fit.form for fit in candidates)),
            anchors=tuple(sorted({anchors_of(fit) for fit in candidates if fit.form == chosen.form})),
            sizes=list_sizes(points, measured),
            replays=list_replays(points),
            atpps=tuple(distinct(points.atpp)),
        ),
    )
    drawn = draw(law, points, x, SliceWanted(size, replay_ratio, atpp), found.choices)
    return replace(
        found,
        at=drawn.at,
        tracks=drawn.tracks,
        marks=drawn.marks,
        warnings=drawn.warnings,
        reason=drawn.reason,
        hint=drawn.hint,
    )


def tell_pretraining(found: Forecast, family: Family) -> Forecast:
    """What there is where nothing was adapted: scores, and the law with the lowest held-out error; no curve."""
    fits = sorted(family.of(found.role), key=held_out_error)
    form = form_of_fit(fits[0])
    return replace(
        found,
        form=fits[0].form,
        formula=form.formula,
        source=form.source,
        scores=tuple(make_row(fit, fit.form, fit.scores, "nothing", fit is fits[0]) for fit in fits),
        facts=("Parameters: " + ", ".join(f"{name} = {value:.4g}" for name, value in fits[0].params.items()) + ".",),
        reason="Only laws of pretraining are fitted here: nothing was adapted, so there is no curve of adaptation.",
        hint='D is tokens of pretraining; `odyssey sql "SELECT form, params, scores FROM fits"` has everything.',
    )


def choose_fit(candidates: list[FitRow], form: str | None, anchors: AnchorsWanted) -> FitRow:
    """The fit of ``form`` (without: the one that predicts the held-out points best) with that many anchors.

    Where there is none such, the fit without anchors.
    """
    named = [fit for fit in candidates if form is None or fit.form == form]
    if not named:
        form_of(form or "")
        known = ", ".join(dict.fromkeys(fit.form for fit in candidates))
        raise LawError(f"{form} has not been fitted to this loss.", f"Forms that have: {known}.")
    if anchors == "any":
        anchors = min((anchors_of(fit) for fit in named if anchors_of(fit)), default=0)
    matching = [fit for fit in named if anchors_of(fit) == anchors]
    matching = matching or [fit for fit in named if not anchors_of(fit)]
    return min(matching or named, key=held_out_error)


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
