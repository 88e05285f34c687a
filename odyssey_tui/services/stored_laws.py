"""Stored fits as laws that can predict: which fits there are for a domain, and their points and draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.laws.errors import LawError
from engine.laws.form import Form
from engine.laws.forms import form_of
from engine.laws.law import Law, law_from_record
from engine.laws.points import Points, group_values
from store.names import suggest

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.fits import FitPoint, FitRow

SAME = 0.05
"""Budgets and sizes closer than 5 % count as one value."""
NO_FITS = "No law has been fitted in this workspace yet."
NO_FITS_HINT = "An experiment with a `laws:` section fits them when its runs are done; `odyssey fit` fits again."


@dataclass(frozen=True)
class Family:
    """The fits of one fit run: all forms and roles on the same split of one domain's points."""

    domain: str
    run_id: str | None
    fits: tuple[FitRow, ...] = field(repr=False)

    def of(self, role: str) -> list[FitRow]:
        """The fits of one role, without anchors first, in the order they were made."""
        return sorted((fit for fit in self.fits if fit.role == role), key=anchors_of)

    @property
    def t(self) -> float:
        """When the last of them was made."""
        return max(fit.t for fit in self.fits)

    @property
    def anchors(self) -> tuple[int, ...]:
        """The numbers of anchors there are fits with, 0 among them."""
        return tuple(sorted({anchors_of(fit) for fit in self.fits}))

    @property
    def population(self) -> str:
        """What the states are that are not plain: their method, variant, line ends."""
        labels = self.fits[0].labels
        parts = [labels.get("method"), labels.get("variant")]
        parts += ["newlines stripped"] if labels.get("newlines") == "strip" else []
        return ", ".join(str(part) for part in parts if part)

    @property
    def split(self) -> str:
        """``P 5, 15 → 45``, with the numbers of anchors and the population."""
        fit = self.fits[0]
        words = f"P {listed(fit.fit_ptpp, 'all')} → {listed(fit.score_ptpp)}"
        anchors = ", ".join(str(count) for count in self.anchors if count)
        parts = [words, f"{anchors} anchors" if anchors else "", self.population]
        return ", ".join(part for part in parts if part)


def form_of_fit(fit: FitRow) -> Form:
    """The form of a stored fit: of the registry, or as its user defined it."""
    return form_of(fit.definition or fit.form)


def read_family(con: Connection, domain: str | None, experiment: str | None) -> Family | None:
    """The newest fits of ``domain`` (of any, when None) and experiment; None when there are none at all.

    Raises LawError as ``list_families`` does.
    """
    return next(iter(list_families(con, domain, experiment)), None)


def list_families(con: Connection, domain: str | None, experiment: str | None) -> list[Family]:
    """The fits of ``domain`` (without: of the one fitted last) and experiment by fit run, the newest first.

    Raises LawError naming the domains that have fits when the one asked for has none.
    """
    from store.queries.fits import list_fits

    fits = list_fits(con, experiment=experiment)
    if (
        experiment is not None
        and not fits
        and (others := sorted({f.experiment for f in list_fits(con) if f.experiment}))
    ):
        raise LawError(
            f"No law has been fitted in an experiment {experiment!r}.",
            suggest(experiment, others, f"Experiments with fits: {', '.join(others)}."),
        )
    if domain is not None and fits and all(fit.domain != domain for fit in fits):
        raise LawError(f"No law has been fitted to {domain!r}.", f"Domains with fits: {', '.join(list_domains(fits))}.")
    fits = [fit for fit in fits if domain is None or fit.domain == domain]
    if not fits:
        return []
    newest = max(fits, key=lambda fit: fit.t)
    groups: dict[str | None, list[FitRow]] = {}
    for fit in sorted((fit for fit in fits if fit.domain == newest.domain), key=lambda fit: fit.t):
        groups.setdefault(fit.run_id, []).append(fit)
    families = [Family(newest.domain or "–", run_id, tuple(members)) for run_id, members in groups.items()]
    return sorted(families, key=lambda family: family.t, reverse=True)


def list_domains(fits: Sequence[FitRow]) -> list[str]:
    """The domains that have fits."""
    return sorted({fit.domain or "–" for fit in fits})


def choose_family(families: Sequence[Family], split: str | None) -> Family:
    """The newest, or the one that ``split`` names: its place in the list from 1, or its run, or how that begins.

    Raises LawError listing them when none is meant, or several are.
    """
    if split is None:
        return families[0]
    if split.isdecimal() and 1 <= int(split) <= len(families):
        return families[int(split) - 1]
    meant = [family for family in families if family.run_id == split]
    meant = meant or [family for family in families if split and (family.run_id or "").startswith(split)]
    if len(meant) == 1:
        return meant[0]
    listing = "; ".join(f"{place} {family.run_id}: {family.split}" for place, family in enumerate(families[:6], 1))
    known = f"There are {listing}{' …' if len(families) > 6 else ''}."
    raise LawError(f"{split!r} {'names several fits' if meant else 'is no fit'} of {families[0].domain}.", known)


def listed(values: Sequence[float] | None, none: str = "–") -> str:
    """PTPP values as text."""
    return ", ".join(f"{value:g}" for value in values or ()) or none


def anchors_of(fit: FitRow) -> int:
    """How many measurements at the held-out PTPP joined the fit."""
    return int(fit.scores.get("anchors") or 0)


def held_out_error(fit: FitRow) -> float:
    """Mean relative error (percent) on the held-out points; infinite where there is none."""
    value = fit.scores.get("mape") if fit.scores.get("n") else None
    return math.inf if value is None else float(value)


def read_law(con: Connection, fit: FitRow, qualities: Mapping[str, float]) -> tuple[Law, list[FitPoint], Points]:
    """The law of a stored fit, its points as stored, and the same as columns.

    ``qualities``: zero-shot loss on the base corpus of each run's base state, by run.
    """
    from store.queries.fits import read_draws, read_points

    stored = read_points(con, fit.fit_id)
    columns = as_points(stored, qualities)
    fitted = columns.select(np.isin(columns.split, ("fit", "anchor")))
    law = law_from_record(form_of_fit(fit), fit.role, fit.params, read_draws(con, fit.fit_id), fit.P0 or 1.0, fitted)
    return law, stored, columns


def as_points(stored: Sequence[FitPoint], qualities: Mapping[str, float]) -> Points:
    """Stored points as columns; what was not measured is NaN."""

    def column(name: str) -> np.ndarray:
        return np.array([math.nan if (value := getattr(point, name)) is None else value for point in stored], float)

    numbers = ("n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "share", "loss", "zero_shot_loss")
    return Points.from_columns(
        {
            **{name: column(name) for name in numbers},
            "run": np.array([point.run_id or "" for point in stored], dtype=object),
            "split": np.array([point.split for point in stored], dtype=object),
            "reason": np.array([point.reason or "" for point in stored], dtype=object),
            "quality": np.array([qualities.get(point.run_id or "", math.nan) for point in stored], float),
        },
        length=len(stored),
    )


def distinct(values: np.ndarray) -> list[float]:
    """Distinct positive values, ascending; values within 5 % are one, to six digits."""
    return [float(f"{value:.6g}") for value in group_values(values)]


def near(values: np.ndarray, wanted: float) -> np.ndarray:
    """Where positive values are within 5 % of ``wanted``; zero only matches zero."""
    return np.abs(values - wanted) <= SAME * abs(wanted) + 1e-12
