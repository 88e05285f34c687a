"""Plans from tables of points: the laws of both losses are fitted, chosen among and asked, without a workspace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from engine.laws.errors import LawError
from engine.laws.forms import form_of
from engine.laws.law import Law
from engine.laws.planner import Goal, Limits, Stage
from odyssey_tui.services.asking import Hear
from odyssey_tui.services.format import count
from odyssey_tui.services.plan import DEFAULT_FORGETTING, Answer, Basis, Model, answer_with, find_size, start_value
from odyssey_tui.services.point_tables import LoadedPoints
from odyssey_tui.services.stored_laws import distinct, near
from odyssey_tui.services.table_fits import TableOptions, fit_table, rank
from store.errors import OdysseyError

CANDIDATES = {
    "target": ("dcpt", "ptpp_additive", "ptpp_gated", "ptpp_gated_floor", "zero_shot"),
    "base": ("zero_shot", "forgetting_pinned"),
}
"""Laws among which the best is taken when none is named; a limit on forgetting needs one that is exact at D = 0."""


@dataclass(frozen=True)
class Asked:
    """The model to plan for, and what must hold. What is None is taken from the points, or follows from them."""

    limits: Limits
    target_gain: float | None = None
    goal: Goal | None = None
    size: str | None = None
    ptpp: float | None = None
    target_zero_shot: float | None = None
    base_zero_shot: float | None = None


@dataclass(frozen=True)
class TablePlan:
    """The answer, and of each role the fits it was chosen from with how."""

    answer: Answer
    laws: dict[str, dict[str, Any]]

    def content(self) -> dict[str, Any]:
        """As JSON; draws are left out."""
        laws = {
            role: {**found, "fits": [{k: v for k, v in fit.items() if k != "draws"} for fit in found["fits"]]}
            for role, found in self.laws.items()
        }
        return {**asdict(self.answer), "laws": laws}


def plan_table(
    target: LoadedPoints,
    base: LoadedPoints,
    asked: Asked,
    forms: dict[str, Sequence[str]],
    options: TableOptions,
    hear: Hear,
) -> TablePlan:
    """Fit the candidates of both roles (those of ``CANDIDATES`` where none is named) and plan with the best.

    The best has the lowest error on held-out rows, else in cross-validation. Errors as of ``fit_table`` and the
    planner; the zero-shot losses of a model that was not measured are forecast by ``chinchilla``.
    """
    if all(value is None for value in (*vars(asked.limits).values(), asked.target_gain)):
        asked = replace(asked, limits=replace(asked.limits, forgetting=DEFAULT_FORGETTING))
    laws = {
        role: choose(points, role, forms.get(role) or CANDIDATES[role], options, hear)
        for role, points in (("target", target), ("base", base))
    }
    chosen = {role: law_of(found["fits"][found["chosen"]]) for role, found in laws.items()}
    sizes = tuple((value, count(value)) for value in distinct(column(target, "n_params")))
    n_params, label = find_size(asked.size, sizes)
    ptpp = asked.ptpp or max(distinct(column(target, "ptpp")), default=math.nan)
    starts: dict[str, float | Law] = {}
    for role, points, given in (
        ("target", target, asked.target_zero_shot),
        ("base", base, asked.base_zero_shot),
    ):
        starts[role] = given if given is not None else zero_shot(points, role, n_params, ptpp, options, hear)
    losses = [start_value(start, n_params, ptpp) for start in starts.values()]
    model = Model(label, n_params, ptpp, *losses, forecast=any(isinstance(start, Law) for start in starts.values()))
    basis = Basis(chosen["target"], chosen["base"], Stage(n_params, ptpp, starts["target"], starts["base"]), model)
    return TablePlan(answer_with(basis, asked.limits, asked.target_gain, asked.goal, ""), laws)


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
    return {**found, "chosen": found["fits"].index(best), "chosen_by": by}


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


def zero_shot(
    points: LoadedPoints, role: str, n_params: float, ptpp: float, options: TableOptions, hear: Hear
) -> float | Law:
    """The loss of the unadapted model: as measured, else by a law of the checkpoints' zero-shot losses."""
    columns = {name: column(points, name) for name in ("n_params", "ptpp", "zero_shot_loss")}
    here = near(columns["n_params"], n_params) & near(columns["ptpp"], ptpp) & np.isfinite(columns["zero_shot_loss"])
    if here.any():
        return float(columns["zero_shot_loss"][here].mean())
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
