"""What a grid can say of a law before anything is measured: against fits of simulated losses, and known bad designs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.laws.design import NOISE, judge_design, warn_design
from engine.laws.errors import LawError
from engine.laws.features import Scales, features
from engine.laws.fit import FitOptions, fit
from engine.laws.forms import REGISTRY
from engine.laws.points import Points
from engine.laws.starts import draw_starts

SIZES = (1e7, 4e7, 1.6e8, 6.4e8)


def grid(
    sizes: Sequence[float] = SIZES,
    ptpps: Sequence[float] = (5, 10, 20, 40),
    atpps: Sequence[float] = (1, 2, 4, 8),
    replays: Sequence[float] = (0.0, 0.25, 0.5),
    held_out: Sequence[float] = (40,),
) -> Points:
    """Every cell; a run is a size, a PTPP and a replay ratio."""
    rows = [(n, p, a, rho, f"{n:g}-{p:g}-{rho:g}") for n in sizes for p in ptpps for rho in replays for a in atpps]
    n, p, a, rho = (np.array([row[index] for row in rows], dtype=float) for index in range(4))
    split = np.where(np.isin(p, held_out), "score", "fit")
    columns = {"n_params": n, "ptpp": p, "atpp": a, "replay_ratio": rho, "share": 1.0 - rho, "split": split}
    return Points.from_columns({**columns, "run": np.array([row[4] for row in rows]), "loss": np.nan})


def test_a_crossed_grid_determines_what_one_atpp_cannot() -> None:
    crossed = judge_design(REGISTRY["chinchilla"], grid(), "target")
    fixed = judge_design(REGISTRY["chinchilla"], grid(atpps=(4,)), "target")
    assert crossed.determined
    assert crossed.condition < 1e3
    assert fixed.singular
    assert not fixed.determined
    (warning,) = (one for one in warn_design(grid(atpps=(4,))) if "ATPP" in one)
    assert "1/(α − β)²" in warning


def test_fixed_tokens_per_parameter_are_worse_the_nearer_the_exponents_are() -> None:
    """At D = A·N the smallest singular value of [1, N^−α, N^−α ln N, N^−β, N^−β ln N] falls at least as (α − β)²."""
    form, points = REGISTRY["chinchilla"], grid(np.geomspace(1e6, 1e10, 12), (10,), (4,), (0.0,), ())
    x = features(points, Scales.of(points))
    conditions = []
    for gap in (0.4, 0.2, 0.1):
        u = form.to_u({"E": 1.5, "A": 0.5, "alpha": 0.3 + gap, "B": 0.5, "beta": 0.3})
        value, jacobian = form.value_and_jacobian(u[None], x)
        singular = np.linalg.svd(jacobian[0] / value[0], compute_uv=False)
        conditions.append(singular[0] / singular[-1])
    assert conditions[1] > 4 * conditions[0]
    assert conditions[2] > 4 * conditions[1]


@pytest.mark.parametrize("name", ["chinchilla", "liew_kato"])
def test_the_expected_error_is_that_of_fits_to_simulated_losses(name: str) -> None:
    """Truths drawn as the verdict draws them; noise of one run is shared by its points."""
    form, points, noise = REGISTRY[name], grid(sizes=SIZES[:3], ptpps=(5, 10, 40), replays=(0.0, 0.2, 0.4)), 0.005
    points = replace(points, loss=np.ones(len(points)))
    fitted, held_out = (points.select(points.split == split) for split in ("fit", "score"))
    ratios = []
    for seed in range(12):
        expected = judge_design(form, points, "target", noise=noise, draws=1, seed=seed).forecast
        u = draw_starts(form, 1, np.random.default_rng([seed, 3]))
        scales = Scales.of(fitted)
        truth, wanted = (form.value(u, features(part, scales))[0] for part in (fitted, held_out))
        rng = np.random.default_rng(seed)
        _, member = np.unique(fitted.run, return_inverse=True)
        shared = rng.normal(0, noise, member.max() + 1)[member]
        law = fit(form, replace(fitted, loss=truth * np.exp(shared)), FitOptions(starts=60, bootstrap=0, delta=1.0)).law
        ratios.append(np.sqrt(np.mean(np.log(law.predict(held_out) / wanted) ** 2)) / expected)
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2.0


def test_more_noise_opens_more_and_more_runs_close_it() -> None:
    form = REGISTRY["ptpp_additive"]
    quiet, loud = (judge_design(form, grid(), "target", noise=noise) for noise in (NOISE / 10, NOISE * 10))
    assert quiet.forecast < loud.forecast
    assert {name for name, _ in quiet.open} < {name for name, _ in loud.open}
    dense = judge_design(form, grid(np.geomspace(1e7, 1e9, 10), (3, 5, 8, 12, 20, 40)), "target")
    assert dense.forecast < judge_design(form, grid(), "target").forecast


def test_terms_without_values_are_dropped_and_nothing_is_forecast_along_them() -> None:
    one = judge_design(REGISTRY["ptpp_gated"], grid(ptpps=(10, 40)), "target")
    assert one.dropped == ("P",)
    assert np.isnan(one.forecast)
    assert not one.determined
    few = judge_design(REGISTRY["dcpt"], grid(sizes=SIZES[:2]), "target")
    assert few.dropped == ("N",)
    assert few.forecast > 0
    said = " ".join(warn_design(grid(sizes=SIZES[:2], ptpps=(10, 40), replays=(0.0,))))
    assert "One PTPP is fitted" in said
    assert "2 model sizes" in said
    assert "One replay ratio" in said
    assert warn_design(grid()) == ()
    assert "Two PTPP are fitted" in warn_design(grid(ptpps=(5, 10, 40)))[0]


def test_what_cannot_be_fitted_says_why() -> None:
    few = judge_design(REGISTRY["dcpt"], grid(SIZES[:3], (5, 40), (1,), (0.0, 0.5)), "target")
    assert few.reason == "dcpt needs at least 10 points, and 6 can be used."
    assert np.isnan(few.condition)
    unknown = replace(grid(), ptpp=np.full(len(grid()), np.nan))
    assert "pretraining tokens per parameter unknown" in judge_design(REGISTRY["ptpp_gated"], unknown, "target").reason
    assert "base loss only" in judge_design(REGISTRY["forgetting"], grid(), "target").reason
    assert warn_design(unknown)[0].startswith("The tokens seen by the base are unknown")
    # Losses before adaptation are not known yet, and hinder no verdict.
    assert not judge_design(REGISTRY["zero_shot"], grid(), "target").reason


def test_the_same_design_has_the_same_verdict() -> None:
    first, second = (judge_design(REGISTRY["dcpt"], grid(), "target") for _ in range(2))
    assert first == second
    with pytest.raises(LawError):
        fit(REGISTRY["dcpt"], grid())
