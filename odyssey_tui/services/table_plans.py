"""Plans from tables of points: the laws of both losses are fitted, chosen among and asked, without a workspace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.laws.errors import LawError
from engine.laws.forms import form_of
from engine.laws.law import Law
from engine.laws.points import Points
from odyssey_tui.services.asking import Hear
from odyssey_tui.services.format import count
from odyssey_tui.services.plan_basis import Source, list_states
from odyssey_tui.services.point_tables import LoadedPoints
from odyssey_tui.services.stored_laws import distinct, near
from odyssey_tui.services.table_fits import TableOptions, fit_table, rank
from store.errors import OdysseyError

CANDIDATES = {
    "target": ("dcpt", "ptpp_additive", "ptpp_gated", "ptpp_gated_floor", "zero_shot"),
    "base": ("zero_shot", "replay_odds", "forgetting_pinned"),
}
"""Laws among which the best is taken when none is named; a limit on forgetting needs one that is exact at D = 0."""


@dataclass(frozen=True, eq=False)
class TableSource:
    """What plans of a table rest on, and of each role the fits its law was chosen from with how."""

    source: Source
    laws: dict[str, dict[str, Any]]

    def content(self) -> dict[str, Any]:
        """The laws as JSON; draws are left out."""
        return {
            role: {**found, "fits": [{k: v for k, v in fit.items() if k != "draws"} for fit in found["fits"]]}
            for role, found in self.laws.items()
        }


def read_tables(
    target: LoadedPoints,
    base: LoadedPoints,
    forms: dict[str, Sequence[str]],
    options: TableOptions,
    hear: Hear,
    *,
    zero_shot: dict[str, float | None] | None = None,
) -> TableSource:
    """Fit the candidates of both roles (those of ``CANDIDATES`` where none is named) and take the best.

    The best has the lowest error on held-out rows, else in cross-validation. ``zero_shot``: losses of the model to
    adapt by role, where they are given; those of a model that was not measured are forecast by ``chinchilla``. Errors
    as of ``fit_table``.
    """
    tables = {"target": target, "base": base}
    laws = {
        role: choose(points, role, forms.get(role) or CANDIDATES[role], options, hear)
        for role, points in tables.items()
    }
    chosen = {role: law_of(found["fits"][found["chosen"]]) for role, found in laws.items()}
    curves: dict[str, Law] = {}

    def start(role: str, n_params: float, ptpp: float) -> float | Law:
        given = (zero_shot or {}).get(role)
        known = given if given is not None else measured_start(tables[role], n_params, ptpp)
        if known is not None:
            return known
        if role not in curves:
            curves[role] = fit_curve(tables[role], role, n_params, ptpp, options, hear)
        return curves[role]

    points = {role: as_points(loaded) for role, loaded in tables.items()}
    sizes = tuple((value, count(value)) for value in distinct(column(target, "n_params")))
    source = Source(
        domain=target.domain,
        target=chosen["target"],
        base=chosen["base"],
        measured=points["target"],
        fitted={role: one.select(one.split == "fit") for role, one in points.items()},
        states=list_states(points["target"]),
        sizes=sizes,
        start=start,
        files=tuple(dict.fromkeys((*target.files, *base.files))),
    )
    return TableSource(source, laws)


def as_points(loaded: LoadedPoints) -> Points:
    """What was measured, held out or not."""
    names = ("n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "share", "loss", "zero_shot_loss", "quality")
    columns: dict[str, Any] = {name: column(loaded, name) for name in names}
    n_params, atpp, tokens = columns["n_params"], columns["atpp"], columns["adapt_tokens"]
    columns["atpp"] = np.where(np.isfinite(atpp), atpp, tokens / n_params)
    columns["adapt_tokens"] = np.where(np.isfinite(tokens), tokens, atpp * n_params)
    texts = {name: np.array(loaded.columns[name], dtype=object) for name in ("run", "split")}
    return Points.from_columns({**columns, **texts})


def choose(points: LoadedPoints, role: str, forms: Sequence[str], options: TableOptions, hear: Hear) -> dict[str, Any]:
    """The fits of a role, the position of the best, and how it was chosen."""
    several = len(forms) > 1 and not points.n_held_out
    found = fit_table(
        points,
        forms,
        replace(options, role=role),
        lambda progress: hear({**progress, "phase": f"{role} loss: {progress['phase']}"}),
        draws=True,
        only_best=several,
        cross_validate="auto" if several else "",
    )
    best = rank(found["fits"])[0]
    by = "named" if len(forms) == 1 else "lowest error on held-out rows"
    if several:
        by = f"lowest error, leaving out each {found['cross_validation']['axis']} in turn"
    return {**found, "chosen": found["fits"].index(best), "chosen_by": by, "points": points.sentence}


def law_of(fit: dict[str, Any]) -> Law:
    """A described fit, ready to predict."""
    return Law(
        form=form_of(fit["definition"] or fit["form"]),
        role=fit["role"],
        params={parameter["name"]: parameter["value"] for parameter in fit["parameters"]},
        draws=np.array(fit["draws"], dtype=np.float64).reshape(-1, len(fit["parameters"])),
        p0=fit["P0"],
        ranges={symbol: (low, high) for symbol, (low, high) in fit["ranges"].items()},
        dropped=tuple(fit["dropped"]),
    )


def measured_start(points: LoadedPoints, n_params: float, ptpp: float) -> float | None:
    """The loss of the unadapted model as measured; None where it was not."""
    columns = {name: column(points, name) for name in ("n_params", "ptpp", "zero_shot_loss")}
    here = near(columns["n_params"], n_params) & near(columns["ptpp"], ptpp) & np.isfinite(columns["zero_shot_loss"])
    return float(columns["zero_shot_loss"][here].mean()) if here.any() else None


def fit_curve(points: LoadedPoints, role: str, n_params: float, ptpp: float, options: TableOptions, hear: Hear) -> Law:
    """A law of the checkpoints' zero-shot losses, draws included."""
    columns = {name: column(points, name) for name in ("n_params", "ptpp", "zero_shot_loss")}
    known = np.isfinite(np.stack(list(columns.values()))).all(axis=0)
    rows = np.unique(np.stack([values[known] for values in columns.values()], axis=1), axis=0).tolist()
    curve = replace(
        points,
        columns={
            "n_params": [n for n, _, _ in rows],
            "ptpp": [p for _, p, _ in rows],
            "loss": [loss for _, _, loss in rows],
            "run": [f"{n:g}-{p:g}" for n, p, _ in rows],
        },
    )
    try:
        found = fit_table(curve, ["chinchilla"], replace(options, role=role), hear, draws=True)
    except OdysseyError as refusal:
        raise unknown_start(role, n_params, ptpp) from refusal
    return law_of(found["fits"][0])


def unknown_start(role: str, n_params: float, ptpp: float) -> LawError:
    """Nothing says what the model's loss is before adaptation."""
    return LawError(
        f"The {role} loss of a model of {count(n_params)} parameters at P = {ptpp:g} before adaptation is unknown.",
        f"Give it: --{role}-zero-shot LOSS, or add a column zero_shot_loss for at least five checkpoints.",
    )


def column(points: LoadedPoints, name: str) -> np.ndarray:
    """A column as numbers, NaN where there is none."""
    values = points.columns.get(name, [None] * len(points.columns["loss"]))
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
