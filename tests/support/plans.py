"""Something to plan from, without fitting: laws with known parameters and draws, and what was measured."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from engine.laws.forms import REGISTRY
from engine.laws.law import Law
from engine.laws.points import Points
from engine.spec.experiment import Limits
from odyssey_tui.services.plan_basis import Source

SIZES, PTPPS, RATIOS, ATPPS = (5e4, 1e5), (15.0, 31.0), (0.0, 0.25, 0.5, 0.75), (1.0, 2.0, 4.0, 8.0)
START = {"target": 3.9, "base": 2.8}
TARGET = {"E": 2.0, "A": 0.0, "alpha": 0.3, "B": 20.0, "beta": 0.3, "eta": 0.01, "C": 0.2, "eps": 0.1, "gamma": 0.5}
BASE = {"A": 0.004, "beta": 0.5, "alpha": 0.1, "B": 400.0}
"""L_target falls with tokens and rises with replay; L_base rises with tokens and falls with replay."""


def law_of(form: str, role: str, params: dict[str, float], scatter: float = 0.05, draws: int = 60) -> Law:
    """A law whose positive parameters are scattered by a factor in the draws."""
    known = REGISTRY[form]
    values = np.repeat(np.array([params[name] for name in known.names])[None], draws, axis=0)
    positive = [position for position, parameter in enumerate(known.parameters) if parameter.log]
    values[:, positive] *= np.exp(scatter * np.random.default_rng(0).standard_normal((draws, len(positive))))
    ranges = {"N": (5e4, 1e5), "P": (15.0, 31.0), "D": (5e4, 8e5), "A": (1.0, 8.0), "rho": (0.0, 0.75)}
    return Law(known, role, params, values, 21.0, ranges)


def measured() -> Points:
    """A full grid of adapted states."""
    rows = list(itertools.product(SIZES, PTPPS, RATIOS, ATPPS))
    n, p, rho, a = (np.array(column) for column in zip(*rows, strict=True))
    runs = np.array([f"run-{n:g}-{p:g}-{rho:g}" for n, p, rho, _ in rows], dtype=object)
    return Points.from_columns(
        {"n_params": n, "ptpp": p, "replay_ratio": rho, "share": 1 - rho, "atpp": a, "loss": 3.0, "run": runs}
    )


def noisy(role: str) -> Points:
    """What the law of a role was fitted to: its own losses with 1 % of noise."""
    points = measured()
    exact = {"target": reached, "base": lambda *at: START["base"] + rise(*at)}[role]
    columns = zip(points.replay_ratio, points.atpp, points.n_params, strict=True)
    noise = np.exp(0.01 * np.random.default_rng(3).standard_normal(len(points)))
    share = points.replay_ratio if role == "base" else 1 - points.replay_ratio
    loss = np.array([exact(*row) for row in columns]) * noise
    return replace(points, loss=loss, share=share, zero_shot_loss=np.full(len(points), START[role]))


def make_source(scatter: float = 0.05) -> Source:
    """What ``read_source`` would have read."""
    return Source(
        domain="docs",
        target=law_of("dcpt", "target", TARGET, scatter),
        base=law_of("forgetting_pinned", "base", BASE, scatter),
        measured=measured(),
        fitted={"target": noisy("target"), "base": noisy("base")},
        states=tuple(itertools.product(SIZES, PTPPS)),
        sizes=((5e4, "xs"), (1e5, "s")),
        start=lambda role, n_params, ptpp: START[role],
        experiment="demo",
        limits=Limits(forgetting=0.5),
    )


def rise(rho: float, atpp: float, n_params: float = 1e5) -> float:
    """Forgetting by the base law."""
    return 0.004 * (atpp * n_params) ** 0.5 / ((1 + 400.0 * rho) * n_params) ** 0.1


def reached(rho: float, atpp: float, n_params: float = 1e5) -> float:
    """Target loss by the target law."""
    return 2.0 + 20 * (1 - rho) ** 0.01 / (atpp * n_params) ** 0.3 + 0.2 / (1 - rho + 0.1) ** 0.5


def plan_from(monkeypatch: pytest.MonkeyPatch, **changes: object) -> Source:
    """Have the Plan screen and ``odyssey plan`` find this source in any workspace."""
    source = replace(make_source(), **changes)
    monkeypatch.setattr("odyssey_tui.services.plan_basis.read_source", lambda *_, **__: source)
    monkeypatch.setattr("odyssey_tui.services.plan_basis.list_domains", lambda _: ("docs", "poems"))
    return source
