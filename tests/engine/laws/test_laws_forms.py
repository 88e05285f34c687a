"""Forms: values against the written formulas, Jacobians against finite differences, units, edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.features import Scales, features
from engine.laws.forms import REGISTRY, find_form
from engine.laws.points import Points

ALL = sorted(REGISTRY)


def random_u(name: str, count: int, seed: int = 0) -> np.ndarray:
    form = REGISTRY[name]
    low = form.to_u([p.start[0] for p in form.parameters])
    high = form.to_u([p.start[1] for p in form.parameters])
    return low + np.random.default_rng(seed).random((count, len(low))) * (high - low)


@pytest.mark.parametrize("name", ALL)
def test_jacobian_equals_finite_differences(name: str, make_sample: Callable[..., Points]) -> None:
    form, points = REGISTRY[name], make_sample(name, (15.0, 31.0, 279.0))
    x = features(points, Scales.of(points))
    u = random_u(name, 6)
    value, jacobian = form.value_and_jacobian(u, x)
    np.testing.assert_allclose(value, form.value(u, x), rtol=1e-14)
    step = 1e-6
    for column in range(u.shape[1]):
        up, down = u.copy(), u.copy()
        up[:, column] += step
        down[:, column] -= step
        numeric = (form.value(up, x) - form.value(down, x)) / (2 * step)
        np.testing.assert_allclose(jacobian[:, column], numeric, atol=3e-8 * (1 + np.abs(numeric).max()))


@pytest.mark.parametrize("name", ALL)
def test_natural_units_give_the_same_losses(name: str, make_sample: Callable[..., Points]) -> None:
    form, points = REGISTRY[name], make_sample(name)
    scales = Scales.of(points)
    u = random_u(name, 4)
    natural = form.to_natural(u, scales)
    np.testing.assert_allclose(
        form.value(natural, features(points, scales.natural)), form.value(u, features(points, scales)), rtol=1e-10
    )


@pytest.mark.parametrize("name", ALL)
def test_basis_is_linear_in_the_coefficients(name: str, make_sample: Callable[..., Points]) -> None:
    form, points = REGISTRY[name], make_sample(name)
    x = features(points, Scales.of(points))
    u = random_u(name, 4)
    offset, basis = form.basis(u, x)
    coefficients = form.from_u(u)[:, list(form.linear)]
    np.testing.assert_allclose(offset + np.einsum("sk,skn->sn", coefficients, basis), form.value(u, x), rtol=1e-12)


def test_written_formulas() -> None:
    """Each form at one point, computed by hand from its formula with natural parameters."""
    n, p, d, rho, l0, q = 2.0e5, 20.0, 7.0e5, 0.3, 3.9, 3.1
    point = Points.from_columns(
        {
            "n_params": n,
            "ptpp": p,
            "adapt_tokens": d,
            "replay_ratio": rho,
            "share": 1 - rho,
            "loss": 1.0,
            "zero_shot_loss": l0,
            "quality": q,
        }
    )
    p0, r = 21.0, 1 - rho
    x = features(point, Scales(p0=p0))
    e, a, alpha, f, phi, b, beta, eta, kappa, c, eps, gamma = (
        1.1,
        30.0,
        0.3,
        9.0,
        0.2,
        5.0,
        0.15,
        0.6,
        -0.4,
        0.2,
        0.1,
        0.7,
    )
    values = {"E": e, "A": a, "alpha": alpha, "F": f, "phi": phi, "B": b, "beta": beta}
    values |= {"eta": eta, "kappa": kappa, "C": c, "eps": eps, "gamma": gamma, "K": 4.0, "a": 0.9}
    size, floor, budget = a / n**alpha, c / (r + eps) ** gamma, f / (p * n) ** phi
    data = b * r**eta / d**beta
    limit = e + size + budget + floor
    scale = 4.0 * n**0.9 * (p / p0) ** kappa / (r + eps) ** eta
    expected = {
        "chinchilla": e + size + b / d**beta,
        "dcpt": e + size + data + floor,
        "ptpp_additive": e + size + budget + data + floor,
        "ptpp_gated": e + size + (p / p0) ** kappa * data + floor,
        "ptpp_gated_floor": e + budget + size + (p / p0) ** kappa * data + floor,
        "zero_shot": limit + (l0 - limit) * (1 + d / scale) ** -beta,
    }
    for name, loss in expected.items():
        form = REGISTRY[name]
        u = form.to_u({key: values[key] for key in form.names})[None]
        assert form.value(u, x)[0, 0] == pytest.approx(loss, rel=1e-12), name
    own_limit = 0.8 * q**1.2 * n**-0.03 / (r + eps) ** 0.1
    own_scale = 4.0 * n**0.9 * q**-0.5 / (r + eps) ** eta
    special = {
        "quality_limit": (
            {"F": 0.8, "phi": 1.2, "nu": -0.03, "eps": eps, "gamma": 0.1}
            | {"K": 4.0, "a": 0.9, "kappa": -0.5, "eta": eta, "beta": beta},
            own_limit + (l0 - own_limit) * (1 + d / own_scale) ** -beta,
        ),
        "quality": (
            {"E": e, "F": 0.4, "phi": 1.2, "B": b, "beta": beta, "eta": eta, "kappa": 0.3, "nu": 0.1}
            | {"C": c, "eps": eps, "gamma": gamma},
            e + 0.4 * q**1.2 + q**0.3 * n**0.1 * data + floor,
        ),
        "quality_share": (
            {"E": e, "B": b, "kappa": 0.3, "nu": 0.1, "beta": beta, "eps": eps, "gamma": 0.15, "g": -0.2},
            e + b * q**0.3 * n**0.1 * d**-beta * (r + eps) ** -(0.15 - 0.2 * np.log(q)),
        ),
        "replay_odds": (
            {"G": 0.3, "E": 6.0, "b": 0.4, "mu": 0.2, "K": 900.0, "c": 0.5, "delta": 0.17},
            l0 * (1 + r * d / n / p) ** -0.17
            + 0.3 * (6.0 - l0) * d**0.4 * (p * n) ** 0.2 * ((1 - r) / (r * d + 900.0 * (p / p0) ** 0.5)) ** 0.6,
        ),
        "gadre": (
            {"E": e, "a": 20.0, "b": 30.0, "eta": 0.12},
            e + (20.0 * (d / n) ** 0.12 + 30.0 * (d / n) ** -0.12) * (6 * n * d) ** -0.12,
        ),
        "liew_kato": (
            {"E": e, "A": 40.0, "alpha1": 0.1, "alpha2": 0.2, "alpha3": 0.004},
            e + 40.0 * (p * n) ** -0.1 * d ** (-0.2 + 0.004 * np.log(p * n)),
        ),
        "forgetting": (
            {"A": 0.02, "beta": 0.4, "alpha": 0.3, "B": 60.0, "E": 0.01},
            l0 + 0.02 * d**0.4 / ((1 + 60.0 * rho) * n) ** 0.3 + 0.01,
        ),
    }
    for name, (params, loss) in special.items():
        form = REGISTRY[name]
        assert form.value(form.to_u(params)[None], x)[0, 0] == pytest.approx(loss, rel=1e-12), name


def test_nothing_is_nan_where_the_share_is_zero() -> None:
    """r^eta ln r is taken as 0 at r = 0, and r^eta as 0 for eta > 0."""
    form = REGISTRY["dcpt"]
    points = Points.from_columns({"n_params": 1e5, "adapt_tokens": [1e5, 2e5], "share": [0.0, 0.0], "loss": 1.0})
    value, jacobian = form.value_and_jacobian(random_u("dcpt", 3), features(points, Scales()))
    assert np.isfinite(value).all()
    assert np.isfinite(jacobian).all()
    assert (jacobian[:, form.index["eta"]] == 0).all()


@pytest.mark.parametrize("name", [name for name in ALL if REGISTRY[name].exact_at_zero])
def test_exact_forms_equal_the_zero_shot_loss_at_zero_tokens(name: str, make_sample: Callable[..., Points]) -> None:
    points = make_sample(name)
    before = Points.from_columns(
        {
            "n_params": points.n_params,
            "ptpp": points.ptpp,
            "adapt_tokens": np.zeros(len(points)),
            "replay_ratio": points.replay_ratio,
            "share": points.share,
            "loss": points.loss,
            "zero_shot_loss": points.zero_shot_loss,
            "quality": points.quality,
        }
    )
    value, jacobian = REGISTRY[name].value_and_jacobian(random_u(name, 5), features(before, Scales.of(points)))
    np.testing.assert_allclose(value, np.broadcast_to(points.zero_shot_loss, value.shape), rtol=1e-15)
    assert np.isfinite(jacobian).all()


def test_the_gated_floor_nests_the_others(
    make_sample: Callable[..., Points], truth: dict[str, dict[str, float]]
) -> None:
    points = make_sample("dcpt")
    x = features(points, Scales.of(points))
    full = REGISTRY["ptpp_gated_floor"]
    for name in ("dcpt", "ptpp_additive", "ptpp_gated"):
        form = REGISTRY[name]
        values = {"F": 0.0, "phi": 0.3, "kappa": 0.0, **truth[name]}
        np.testing.assert_allclose(
            full.value(full.to_u(values)[None], x), form.value(form.to_u(truth[name])[None], x), rtol=1e-13
        )


def test_our_forms_are_never_called_published() -> None:
    for name in (
        "ptpp_additive",
        "ptpp_gated",
        "ptpp_gated_floor",
        "zero_shot",
        "quality",
        "quality_limit",
        "quality_share",
        "replay_odds",
    ):
        assert REGISTRY[name].source == "this project's form"


def test_an_unknown_form_names_the_nearest() -> None:
    with pytest.raises(LawError) as caught:
        find_form("ptpp_gatd")
    assert "ptpp_gated" in caught.value.hint
