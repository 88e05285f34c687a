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
        return sorted((fit for fit in self.fits if fit.role == role), key=lambda fit: anchors_of(fit) > 0)


def form_of_fit(fit: FitRow) -> Form:
    """The form of a stored fit: of the registry, or as its user defined it."""
    return form_of(fit.definition or fit.form)


def read_family(con: Connection, domain: str | None, experiment: str | None) -> Family | None:
    """The newest fits of ``domain`` (of any, when None) and experiment; None when there are none at all.

    Raises LawError naming the domains that have fits when the one asked for has none.
    """
    from store.queries.fits import list_fits

    fits = list_fits(con, experiment=experiment)
    if domain is not None and fits and all(fit.domain != domain for fit in fits):
        known = ", ".join(sorted({fit.domain or "–" for fit in fits}))
        raise LawError(f"No law has been fitted to {domain!r}.", f"Domains with fits: {known}.")
    fits = [fit for fit in fits if domain is None or fit.domain == domain]
    if not fits:
        return None
    newest = max(fits, key=lambda fit: fit.t)
    same_run = [fit for fit in fits if fit.run_id == newest.run_id and fit.domain == newest.domain]
    return Family(newest.domain or "–", newest.run_id, tuple(sorted(same_run, key=lambda fit: fit.t)))


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
