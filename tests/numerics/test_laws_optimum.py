"""Our optimum against scipy's, and against published runs."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.laws.features import Scales, features
from engine.laws.fit import FitOptions, fit
from engine.laws.forms import REGISTRY
from engine.laws.huber import objective
from engine.laws.isoflop import find_optima
from engine.laws.points import Points
from engine.laws.starts import draw_starts, solve_nonnegative

TRUTH = {"E": 1.6, "A": 0.5, "alpha": 0.34, "B": 0.6, "beta": 0.28, "eta": 0.4, "C": 0.1, "eps": 0.1, "gamma": 0.5}


def noisy_grid(seed: int) -> Points:
    """210 points of a nine-parameter law: 0.5 % noise and four outliers."""
    rows = [
        (n, p, rho, a)
        for n in (3.3e4, 8.7e4, 1.41e5)
        for p in (15, 31)
        for rho in (0, 0.1, 0.25, 0.5, 0.75)
        for a in (0.5, 1, 2, 4, 6, 8, 10)
    ]
    n, p, rho, a = np.array(rows, dtype=float).T
    points = Points.from_columns(
        {"n_params": n, "ptpp": p, "atpp": a, "replay_ratio": rho, "share": 1 - rho, "loss": np.ones(len(n))}
    )
    form = REGISTRY["dcpt"]
    loss = form.value(form.to_u(TRUTH)[None], features(points, Scales.of(points)))[0]
    rng = np.random.default_rng(seed)
    loss = loss * np.exp(0.005 * rng.standard_normal(len(loss)))
    loss[rng.choice(len(loss), 4, replace=False)] *= 1.08
    return replace(points, loss=loss)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_objective_is_never_worse_than_scipy(seed: int) -> None:
    from scipy.optimize import least_squares

    points, form = noisy_grid(seed), REGISTRY["dcpt"]
    ours = fit(form, points, FitOptions(bootstrap=0))
    x, ln_loss = features(points, ours.scales), np.log(points.loss)
    lower, upper = ours.bounds

    def residuals(u: np.ndarray) -> np.ndarray:
        return np.log(form.value(u[None], x)[0]) - ln_loss

    def jacobian(u: np.ndarray) -> np.ndarray:
        value, derivative = form.value_and_jacobian(u[None], x)
        return (derivative[0] / value[0]).T

    starts = np.clip(draw_starts(form, 10, np.random.default_rng(seed)), lower + 1e-9, upper - 1e-9)
    inside = np.clip(ours.u, lower + 1e-9, upper - 1e-9)
    for start in (inside, *starts):
        theirs = least_squares(
            residuals,
            start,
            jacobian,
            bounds=(lower, upper),
            loss="huber",
            f_scale=ours.options.delta,
            xtol=1e-14,
            ftol=1e-14,
            gtol=1e-14,
        )
        cost = objective(residuals(theirs.x), points.weight, ours.options.delta)
        assert ours.objective <= cost * (1 + 1e-8)


def test_nonnegative_least_squares_equals_scipy() -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    design = rng.standard_normal((50, 30, 5)) + 0.5
    target = rng.standard_normal((50, 30))
    gram = np.einsum("sni,snj->sij", design, design)
    ours = solve_nonnegative(gram, np.einsum("sni,sn->si", design, target))
    theirs = np.array([nnls(matrix, vector)[0] for matrix, vector in zip(design, target, strict=True)])
    assert (theirs == 0).any(axis=1).mean() > 0.5
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


@pytest.fixture
def published_runs() -> list[dict[str, str]]:
    folder = os.environ.get("ODYSSEY_REFERENCE_DATA")
    path = Path(folder or ".") / "scaling" / "gadre_104_models.csv"
    if not folder or not path.exists():
        pytest.skip("ODYSSEY_REFERENCE_DATA does not name a folder with scaling/gadre_104_models.csv")
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if row["train"] == "rpj"]


def test_small_published_runs_predict_large_ones(published_runs: list[dict[str, str]]) -> None:
    """Gadre et al.: five cheap runs predict 1.4B at 640 tokens per parameter (within .71 %) and 6.9B at 20 (.73 %).

    Ours: 0.40 % and 0.42 %.
    """
    column = {
        name: np.array([float(row[key]) for row in published_runs])
        for name, key in (("N", "N"), ("D", "D"), ("L", "loss_c4_val"))
    }
    points = Points.from_columns({"n_params": column["N"], "adapt_tokens": column["D"], "loss": column["L"]})
    multiplier = np.round(column["D"] / column["N"])
    sizes = np.unique(column["N"])
    cheap = (multiplier == 20) & np.isin(column["N"], sizes[:4]) | (multiplier == 320) & (column["N"] == sizes[0])
    assert cheap.sum() == 5
    law = fit(REGISTRY["gadre"], points.select(cheap), FitOptions(bootstrap=0)).law
    for chosen in ((column["N"] == sizes[-2]) & (multiplier == 640), (column["N"] == sizes[-1]) & (multiplier == 20)):
        large = points.select(chosen)
        assert len(large) == 1
        assert law.predict(large)[0] == pytest.approx(large.loss[0], rel=0.0075)


EXPONENT_OF = ("dataset", "hparams", "warmup", "decay", "param_count", "loss_split")


def test_parabolas_give_the_published_isoflop_exponents() -> None:
    """Porian et al.: ten exponents of N*(C). Ours, by parabolas, within 0.03 of each; they interpolate and weight."""
    folder = Path(os.environ.get("ODYSSEY_REFERENCE_DATA") or ".") / "scaling"
    if not (folder / "formll_isoflop_points.csv").exists():
        pytest.skip("ODYSSEY_REFERENCE_DATA does not name a folder with scaling/formll_isoflop_points.csv")
    tables = {}
    for name in ("formll_isoflop_points", "formll_published_exponents"):
        with open(folder / f"{name}.csv", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    published = tables["formll_published_exponents"]
    assert len(published) == 10
    for row in published:
        mine = [
            point
            for point in tables["formll_isoflop_points"]
            if all(point[column] == row[column] for column in EXPONENT_OF)
        ]
        flops, n, loss = (np.array([float(point[name]) for point in mine]) for name in ("flops", "n", "loss"))
        found = find_optima(flops, n, loss, draws=100)
        assert found.size.exponent == pytest.approx(float(row["n_exponent_weighted"]), abs=0.03), row
