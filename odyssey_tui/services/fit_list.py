"""The stored fits of a workspace, a row for each fit run: what it is of, how well its best laws predict, whether it is
old."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.laws.errors import LawError
from odyssey_tui.services.fit_news import find_news
from odyssey_tui.services.fit_words import is_pretraining
from odyssey_tui.services.stored_laws import NO_FITS, NO_FITS_HINT, Family, held_out_error, list_domains, list_families

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odyssey_tui.services.populations import Population
    from store.database import Connection
    from store.queries.points import AdaptationPoint
    from store.workspace import Workspace

ROLES = ("target", "base")


@dataclass(frozen=True)
class Best:
    """The law of a fit run with the lowest error on held-out points; None where none was scored."""

    form: str | None = None
    mape: float | None = None


@dataclass(frozen=True)
class FitEntry:
    """One fit run; ``place`` counts within its domain, the newest being 1."""

    domain: str
    place: int
    run_id: str
    t: float
    split: str
    n_fits: int
    target: Best
    base: Best
    stale: str


def list_stored(workspace: Workspace, domain: str | None = None, experiment: str | None = None) -> list[FitEntry]:
    """All of them, by domain, the newest first. Raises LawError where there is none."""
    from odyssey_tui.services.populations import split_populations
    from odyssey_tui.services.similarity import read_surroundings
    from store.database import lease
    from store.queries.fits import list_fits
    from store.queries.points import adaptation_points

    entries = []
    with lease(workspace) as con:
        domains = [domain] if domain else list_domains(list_fits(con, experiment=experiment))
        around = read_surroundings(con)
        for name in domains:
            families = list_families(con, name, experiment)
            measured = {role: adaptation_points(con, role=role, domain=name) for role in ROLES}
            populations = {role: split_populations(points, around) for role, points in measured.items()}
            for place, family in enumerate(families, 1):
                stale = tell_stale(con, family, measured, populations)
                best = [find_best(family, role) for role in ROLES]
                entries.append(
                    FitEntry(
                        family.domain,
                        place,
                        family.run_id or "",
                        family.t,
                        family.split,
                        len(family.fits),
                        *best,
                        stale,
                    )
                )
    if not entries:
        raise LawError(NO_FITS, NO_FITS_HINT)
    return entries


def find_best(family: Family, role: str) -> Best:
    """The law that predicts the held-out points of a role best."""
    scored = [fit for fit in family.of(role) if not is_pretraining(fit) and fit.scores.get("n")]
    if not scored:
        return Best()
    best = min(scored, key=held_out_error)
    return Best(best.form, best.scores.get("mape"))


def tell_stale(
    con: Connection,
    family: Family,
    measured: Mapping[str, list[AdaptationPoint]],
    populations: Mapping[str, list[Population]],
) -> str:
    """Why the run's fits are old, by one of them; empty where they are not, or where nothing was adapted."""
    from store.queries.fits import read_points

    fit = next((fit for role in ROLES for fit in family.of(role) if not is_pretraining(fit)), None)
    if fit is None:
        return ""
    return find_news(read_points(con, fit.fit_id), measured[fit.role], populations[fit.role])
