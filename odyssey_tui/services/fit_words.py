"""A stored fit in rows and sentences: its scores, what it rests on, what it leaves open, whether it is old."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.laws.forecast import band
from engine.laws.law import Law
from engine.laws.points import Points
from odyssey_tui.services.stored_laws import anchors_of, form_of_fit, listed

if TYPE_CHECKING:
    from store.queries.fits import FitRow


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one stored fit on the held-out points; None where there is none. ``mape`` in percent."""

    form: str
    anchors: int
    saw: str
    n: int
    mape: float | None
    mae_rel_mean: float | None
    mae_rel_sum: float | None
    rmse: float | None
    slope: float | None
    intercept: float | None
    r2: float | None
    training_mape: float | None
    n_fitted: int | None
    shown: bool


@dataclass(frozen=True)
class OpenParameter:
    """A parameter that the data do not determine: values from ``low`` to ``high`` fit as well.

    ``cost``: by how much their cost may be higher; ``effect``: what they do to the forecasts.
    """

    name: str
    low: str
    high: str
    cost: str
    effect: str


@dataclass(frozen=True)
class ParameterRow:
    """A parameter in natural units, with percentiles of the bootstrap draws; None without any."""

    name: str
    value: float
    low: float | None
    high: float | None
    note: str
    """``dropped``, ``at a bound``, ``open``; empty where it says what it says."""
    meaning: str


_OPEN = re.compile(
    r"Your data do not determine (?P<name>\S+): values from (?P<low>\S+) to (?P<high>\S+) "
    r"fit as well \(cost within (?P<cost>[^)]+)\), and (?P<effect>.+)\."
)
"""A sentence of ``engine.laws.identify``, as fits store it."""


def find_open(fit: FitRow) -> tuple[tuple[OpenParameter, ...], tuple[str, ...]]:
    """What the fit leaves open, parameter by parameter, and its other sentences."""
    found, others = [], []
    for sentence in fit.identifiability or ():
        match = _OPEN.fullmatch(sentence)
        if match is None:
            others.append(sentence)
            continue
        effect = match["effect"].removeprefix("the forecasts ").replace("-", "−")
        found.append(OpenParameter(match["name"], match["low"], match["high"], match["cost"], effect))
    return tuple(found), tuple(others)


def open_lines(found: Sequence[OpenParameter]) -> tuple[str, ...]:
    """What is left open in one line per parameter, under one that says what the lines mean."""
    if not found:
        return ()
    width = max(len(one.name) for one in found)
    ranges = [f"{one.low} … {one.high}" for one in found]
    longest = max(map(len, ranges))
    head = f"Left open by the data (cost within {found[0].cost}), and forecasts then:"
    return head, *(
        f"  {one.name:<{width}}  {values:<{longest}}  {one.effect.removeprefix('move by ')}"
        for one, values in zip(found, ranges, strict=True)
    )


def is_pretraining(fit: FitRow) -> bool:
    """Whether the form describes pretraining curves, which have no replay ratio to forecast along."""
    return form_of_fit(fit).describes_pretraining


def score_rows(fits: list[FitRow], chosen: FitRow) -> tuple[ScoreRow, ...]:
    """One row per stored fit of the role, best first; dcpt moved by the zero-shot loss stands beside dcpt."""
    rows = []
    for fit in (fit for fit in fits if not is_pretraining(fit)):
        rows.append(make_row(fit, fit.form, fit.scores, fit.scores.get("saw", "nothing"), fit is chosen))
        shifted = fit.scores.get("l0_shift")
        if shifted:
            rows.append(make_row(fit, f"{fit.form} + L0 shift", shifted, "its zero-shot loss", False))
    return tuple(sorted(rows, key=lambda row: (row.anchors > 0, row.mape if row.mape is not None else math.inf)))


def make_row(fit: FitRow, name: str, scores: dict[str, Any], saw: str, shown: bool) -> ScoreRow:
    """A row of the scores table."""
    keys = ("mape", "mae_rel_mean", "mae_rel_sum", "rmse", "slope", "intercept", "r2")
    training = (fit.scores.get("training") or {}).get("mape")
    values = [scores.get(key) for key in keys]
    return ScoreRow(name, anchors_of(fit), saw, int(scores.get("n") or 0), *values, training, fit.n_points, shown)


def tell_facts(fit: FitRow, points: Points) -> tuple[str, ...]:
    """What the fit rests on, in sentences; what it leaves open is ``find_open``'s."""
    runs = len({run for run, split in zip(points.run, points.split, strict=True) if split in ("fit", "anchor")})
    scored = int((points.split == "score").sum())
    facts = [
        f"Fitted at P = {listed(fit.fit_ptpp)} to {fit.n_points} points of {runs} runs; "
        f"scored at P = {listed(fit.score_ptpp)} on {scored} points."
    ]
    excluded = Counter(
        str(reason) for reason, split in zip(points.reason, points.split, strict=True) if split == "excluded"
    )
    facts += [f"{n} points left out: {reason}." for reason, n in excluded.most_common(2)]
    if fit.starts_agreeing is not None:
        facts.append(f"{fit.starts_agreeing:.0%} of the starts followed to the end agree with the best.")
    return (*facts, *find_open(fit)[1])


def list_parameters(fit: FitRow, law: Law, level: float = 0.9) -> tuple[ParameterRow, ...]:
    """The parameters of a stored fit in the form's order."""
    low, high = band(law.draws, level)
    open_ones = {one.name for one in find_open(fit)[0]}
    dropped = {one.name for one in law.form.parameters if one.axis and one.axis in law.dropped}
    rows = []
    for index, parameter in enumerate(law.form.parameters):
        name = parameter.name
        ends = (float(low[index]), float(high[index])) if len(law.draws) else (None, None)
        note = "dropped" if name in dropped else "at a bound" if name in (fit.at_bound or ()) else ""
        note = note or ("open" if name in open_ones else "")
        rows.append(ParameterRow(name, law.params[name], *ends, note, parameter.meaning))
    return tuple(rows)


def tell_code(fit: FitRow) -> tuple[str, ...]:
    """A sentence where other code fitted it than is here now."""
    from engine.code import describe_laws

    now = describe_laws()
    if not fit.code_version or fit.code_version == now:
        return ()
    return (f"Fitted by other code ({fit.code_version}) than is here now ({now}): a new fit may differ.",)


def tell_curves(fits: list[FitRow]) -> list[str]:
    """How well pretraining curves are described: other points than the table's, so they stand apart from it."""
    return [
        f"{fit.form} on base states before adaptation: {fit.scores['mape']:.2f} % on {fit.scores['n']} held-out points."
        for fit in fits
        if is_pretraining(fit) and fit.scores.get("n")
    ]
