"""What plans rest on: the laws of both losses, what was measured, and the model to adapt. Read once, asked often."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.laws.errors import LawError
from engine.laws.law import Law
from engine.laws.planner import Stage
from engine.laws.points import Points
from engine.spec.experiment import Limits as Wanted
from odyssey_tui.services.fit_words import is_pretraining
from odyssey_tui.services.forecast import list_sizes
from odyssey_tui.services.forecast_curves import mean_known
from odyssey_tui.services.format import count, parse_count
from odyssey_tui.services.stored_laws import (
    NO_FITS_HINT,
    distinct,
    form_of_fit,
    held_out_error,
    near,
    read_family,
    read_law,
)

if TYPE_CHECKING:
    from odyssey_tui.services.stored_laws import Family
    from store.database import Connection
    from store.queries.fits import FitRow
    from store.queries.points import AdaptationPoint
    from store.workspace import Workspace

DEFAULT_FORGETTING = 0.05
"""Nats per token, where no limit is given."""
DEFAULT_LIMITS = Wanted(forgetting=DEFAULT_FORGETTING)
Start = Callable[[str, float, float], "float | Law"]
"""The loss of role, N, P before adaptation: measured, or a law of it. Raises LawError where nothing says it."""


@dataclass(frozen=True)
class Model:
    """The model to adapt. Zero-shot losses are measured, or forecast where ``forecast`` says so."""

    label: str
    n_params: float
    ptpp: float
    target_zero_shot: float
    base_zero_shot: float
    forecast: bool


@dataclass(frozen=True)
class Basis:
    """What a plan rests on: the laws of both losses, and the model to adapt, also as the planner takes it."""

    target: Law
    base: Law
    stage: Stage
    model: Model


@dataclass(frozen=True, eq=False)
class Source:
    """The laws of one domain and what is known of its models."""

    domain: str
    target: Law
    base: Law
    measured: Points
    """Adapted states of the target loss, whether or not the laws were fitted to them."""
    fitted: dict[str, Points]
    """By role, the points that its law was fitted to."""
    states: tuple[tuple[float, float], ...]
    """(N, PTPP) of base states that are there to be adapted."""
    sizes: tuple[tuple[float, str], ...]
    """(N, label)."""
    start: Start = field(repr=False)
    experiment: str | None = None
    """What new runs would belong to; None for a table."""
    limits: Wanted = DEFAULT_LIMITS
    """What holds where no limit is given."""
    files: tuple[str, ...] = ()
    """Of a table."""
    stale: str = ""
    """Why the stored fits are old; empty where they are not."""

    @property
    def ptpps(self) -> list[float]:
        """PTPP that were adapted from, ascending."""
        return distinct(self.measured.ptpp)

    def basis(self, size: str | None = None, ptpp: float | None = None) -> Basis:
        """The model of this size and PTPP; the largest measured one at its highest, where None.

        Raises LawError for a size that is none, and where nothing says what the model's losses are before adaptation.
        """
        n_params, label = find_size(size, self.sizes)
        ptpp = ptpp if ptpp is not None else max(self.ptpps, default=math.nan)
        starts = [self.start(role, n_params, ptpp) for role in ("target", "base")]
        losses = [start_value(start, n_params, ptpp) for start in starts]
        forecast = any(isinstance(start, Law) for start in starts)
        model = Model(label, n_params, ptpp, *losses, forecast=forecast)
        return Basis(self.target, self.base, Stage(n_params, ptpp, *starts), model)


def read_source(workspace: Workspace, domain: str | None = None, experiment: str | None = None) -> Source | None:
    """The stored laws that predict held-out points best, the base law being exact at D = 0; None without any fit.

    Raises LawError where the domain has no fit, or no law that can serve.
    """
    from odyssey_tui.services.fit_list import tell_stale
    from odyssey_tui.services.populations import split_populations
    from odyssey_tui.services.similarity import read_surroundings
    from store.database import lease
    from store.queries.points import adaptation_points
    from store.queries.runs import find_run

    with lease(workspace) as con:
        family = read_family(con, domain, experiment)
        if family is None:
            return None
        measured = adaptation_points(con, domain=family.domain)
        qualities = {p.run_id: p.base_zero_shot_loss for p in measured if p.base_zero_shot_loss is not None}
        target, target_points = best_law(con, family, "target", qualities, exact=False)
        base, base_points = best_law(con, family, "base", qualities, exact=True)
        points = {"target": target_points, "base": base_points}
        unadapted = list_base_states(con, family.domain)
        curves = {role: read_curve(con, family, role, qualities) for role in points}
        name = find_run(con, family.run_id).experiment if family.run_id else None
        by_role = {role: [point for point in measured if point.role == role] for role in points}
        around = read_surroundings(con)
        populations = {role: split_populations(found, around) for role, found in by_role.items()}
        stale = tell_stale(con, family, by_role, populations)

    def start(role: str, n_params: float, ptpp: float) -> float | Law:
        at = near(points[role].n_params, n_params) & near(points[role].ptpp, ptpp)
        known = mean_known(points[role].zero_shot_loss[at])
        if math.isnan(known):
            here = near(unadapted[role].n_params, n_params) & near(unadapted[role].ptpp, ptpp)
            known = mean_known(unadapted[role].loss[here])
        if not math.isnan(known):
            return known
        curve = curves[role]
        if curve is None:
            raise LawError(
                f"The {role} loss of a model of {count(n_params)} parameters at P = {ptpp:g} before adaptation is "
                "unknown.",
                "Evaluate that model once, or fit chinchilla as well, which forecasts it: `odyssey fit --forms ...`.",
            )
        return curve

    adapted = as_points([p for p in measured if p.role == "target" and p.method in (None, "full")])
    # Points of runs that are deleted count as long as the fit does.
    adapted = adapted if len(adapted) else target_points
    return Source(
        domain=family.domain,
        target=target,
        base=base,
        measured=adapted,
        fitted={role: of_role.select(np.isin(of_role.split, ("fit", "anchor"))) for role, of_role in points.items()},
        states=list_states(adapted, unadapted["base"]),
        sizes=list_sizes(target_points, measured),
        start=start,
        experiment=name,
        limits=experiment_limits(workspace, name),
        stale=stale,
    )


def list_domains(workspace: Workspace) -> tuple[str, ...]:
    """Domains that laws were fitted to, by name."""
    from store.database import lease
    from store.queries.fits import list_fits

    with lease(workspace) as con:
        return tuple(sorted({fit.domain for fit in list_fits(con) if fit.domain}))


def list_base_states(con: Connection, domain: str) -> dict[str, Points]:
    """Losses of base states before adaptation: on the domain's text (target) and on their own (base)."""
    from store.queries.points import base_points

    known = [point for point in base_points(con) if point.n_params and point.ptpp]
    of_role = {
        "target": [point for point in known if point.eval_set == domain],
        "base": [point for point in known if point.role == "base"],
    }
    return {
        role: Points.from_columns(
            {name: np.array([getattr(point, name) for point in found], float) for name in ("n_params", "ptpp", "loss")},
            length=len(found),
        )
        for role, found in of_role.items()
    }


def list_states(*points: Points) -> tuple[tuple[float, float], ...]:
    """Distinct (N, PTPP), ascending; values within 5 % are one."""
    n_params = np.concatenate([one.n_params for one in points])
    ptpp = np.concatenate([one.ptpp for one in points])
    pairs = [(n, p) for n in distinct(n_params) for p in distinct(ptpp[near(n_params, n)])]
    return tuple(pairs)


def as_points(measured: list[AdaptationPoint]) -> Points:
    """Adapted states as columns."""

    def column(name: str) -> np.ndarray:
        return np.array([math.nan if (value := getattr(point, name)) is None else value for point in measured], float)

    names = ("n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "loss", "zero_shot_loss")
    runs = np.array([point.run_id for point in measured], dtype=object)
    return Points.from_columns({**{name: column(name) for name in names}, "run": runs}, length=len(measured))


def experiment_limits(workspace: Workspace, name: str | None) -> Wanted:
    """The limits of the experiment, as launched last, whose points were fitted."""
    import yaml

    from engine.launch.experiments import read_launches

    for launched in read_launches(workspace):
        if launched.name == name:
            written = yaml.safe_load(launched.document.read_text()).get("limits")
            if written:
                return Wanted.model_validate(written)
    return DEFAULT_LIMITS


def best_law(
    con: Connection, family: Family, role: str, qualities: dict[str, float], *, exact: bool
) -> tuple[Law, Points]:
    """The law of ``role`` with the lowest held-out error (``exact``: among those exact at D = 0), and its points."""
    fits = [fit for fit in family.of(role) if not is_pretraining(fit) and fit.scores.get("n")]
    usable = [fit for fit in fits if form_of_fit(fit).exact_at_zero] if exact else fits
    if not usable:
        exactly = " that is exact at D = 0" if exact else ""
        raise LawError(
            f"Planning needs a law of the {role} loss{exactly}, and none is stored for {family.domain}.",
            "Fit replay_odds, zero_shot or forgetting_pinned too: `odyssey fit --forms ...`."
            if exact
            else NO_FITS_HINT,
        )
    law, _, points = read_law(con, min(usable, key=held_out_error), qualities)
    return law, points


def read_curve(con: Connection, family: Family, role: str, qualities: dict[str, float]) -> Law | None:
    """The stored law of base states' losses by size and tokens; None where none was fitted."""
    curves = [fit for fit in family.of(role) if is_curve(fit)]
    return read_law(con, min(curves, key=held_out_error), qualities)[0] if curves else None


def is_curve(fit: FitRow) -> bool:
    """Whether the fit describes losses of base states by size and tokens."""
    return fit.form == "chinchilla"


def find_size(size: str | None, sizes: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """N and its label: the largest measured size, one of them by label, or any number of parameters."""
    if size is None:
        return max(sizes)
    for n_params, label in sizes:
        if size == label:
            return n_params, label
    n_params = parse_count(size)
    if n_params is None:
        known = ", ".join(label for _, label in sizes)
        raise LawError(f"There is no size {size!r}.", f"Sizes: {known}; or a number of parameters.")
    if not 0 < n_params < math.inf:
        raise LawError(f"A model has a positive number of parameters, not {size}.", "For example 8.1e9.")
    return n_params, next((label for known, label in sizes if near(np.array([n_params]), known)[0]), count(n_params))


def start_value(start: float | Law, n_params: float, ptpp: float) -> float:
    """A zero-shot loss as a number."""
    if not isinstance(start, Law):
        return start
    points = Points.from_columns(
        {"n_params": n_params, "adapt_tokens": ptpp * n_params, "ptpp": ptpp, "loss": math.nan}
    )
    return float(start.predict(points)[0])
