"""Forms typed as formulas: read without executing anything, derived exactly, fitted like those of the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.laws.calculus import evaluate, find_linear
from engine.laws.errors import LawError
from engine.laws.expression import FormulaError, parse
from engine.laws.features import Scales, features
from engine.laws.fit import FitOptions, fit
from engine.laws.forms import REGISTRY, form_of
from engine.laws.formula import FormulaForm, build_form
from engine.laws.points import Points
from engine.spec.law_form import LawForm

EPS = {"eps": {"bounds": [1e-3, 1.0], "start": [0.01, 0.7]}}
EITHER = {"bounds": [-3.0, 3.0], "start": [-0.5, 0.5]}
FORMULAS: dict[str, dict[str, Any]] = {
    "chinchilla": {"formula": "E + A*N**-alpha + B/D**beta"},
    "dcpt": {"formula": "E + A*N**-alpha + B*r**eta*D**-beta + C/(r + eps)**gamma", "parameters": EPS},
    "ptpp_gated_floor": {
        "formula": "E + A*N**-alpha + F/(P*N)**phi + (P/P0)**kappa*B*r**eta/D**beta + C/(r + eps)**gamma",
        "parameters": {**EPS, "kappa": EITHER},
    },
    "zero_shot": {
        "formula": "Linf + (L0 - Linf)*(1 + D/Dc)**-beta",
        "define": {
            "Linf": "E + A*N**-alpha + F/(P*N)**phi + C/(r + eps)**gamma",
            "Dc": "K*N**a*(P/P0)**kappa/(r + eps)**eta",
        },
        "parameters": {
            **EPS, "K": {"bounds": [1e-3, 1e9], "start": [30.0, 1e4]}, "a": EITHER, "kappa": EITHER, "eta": EITHER,
        },
    },
    "forgetting_pinned": {
        "formula": "L0 + A*D**beta/((1 + B*rho)*N)**alpha", "parameters": {"B": {"bounds": [1e-3, 1e6]}},
        "roles": ["base"],
    },
}  # fmt: skip
"""The forms of the registry as a user would type them."""
QUICK = FitOptions(starts=100, bootstrap=0)


def typed(name: str) -> FormulaForm:
    return build_form(LawForm.model_validate({"name": "typed", **FORMULAS[name]}))


def drawn(form: Any, count: int, seed: int = 0) -> np.ndarray:
    low, high = (form.to_u([parameter.start[side] for parameter in form.parameters]) for side in (0, 1))
    return low + np.random.default_rng(seed).random((count, len(low))) * (high - low)


@pytest.mark.parametrize(
    "text",
    [
        "E + A*N**-alpha + B*r**eta*D**-beta",
        "E*exp(-k*r) + log(1 + A*D) - tanh(g*rho)/(1 + A)",
        "sqrt(E*E + A*r) + expm1(-k*r)*log1p(g*L0)",
        "(E + g*r)**2 - (A - 3)**3 + 2**k + L0/(Q*k + E)",
        "(r*k)**(E*r) + -(+A)*rho",
    ],
)
def test_derivatives_equal_finite_differences_also_at_a_share_of_0(text: str) -> None:
    rng = np.random.default_rng(0)
    data = {
        "N": rng.uniform(1, 9, 12),
        "D": rng.uniform(1, 9, 12),
        "L0": rng.uniform(2, 4, 12),
        "Q": rng.uniform(2, 4, 12),
    }
    data["r"] = np.linspace(0, 1, 12)
    data["rho"] = 1 - data["r"]
    root = parse(text)
    names = root.names("parameter")
    parameters = {name: rng.uniform(0.5, 1.5, (4, 1)) for name in names}
    found = evaluate(root, data, parameters)
    assert np.isfinite(found.value).all()
    for name in names:
        step = 1e-6
        up, down = (
            evaluate(root, data, {**parameters, name: parameters[name] + sign * step}, derive=False).value
            for sign in (1, -1)
        )
        numeric = np.broadcast_to((up - down) / (2 * step), (4, 12))
        np.testing.assert_allclose(np.broadcast_to(found.gradient[name], (4, 12)), numeric, rtol=1e-6, atol=1e-7)


def test_a_power_of_a_share_of_0_is_0_and_so_is_its_derivative() -> None:
    found = evaluate(parse("B*r**eta"), {"r": np.array([0.0, 0.5])}, {"B": np.array([[2.0]]), "eta": np.array([[0.4]])})
    assert found.value[0, 0] == 0.0
    assert found.gradient["eta"][0, 0] == found.gradient["B"][0, 0] == 0.0
    assert found.gradient["eta"][0, 1] == pytest.approx(2 * 0.5**0.4 * np.log(0.5))


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_a_typed_form_has_the_losses_and_the_jacobian_of_the_registry_s(
    name: str, make_sample: Callable[..., Points]
) -> None:
    form, known, points = typed(name), REGISTRY[name], make_sample(name)
    assert set(form.needs) == set(known.needs)
    assert form.exact_at_zero == known.exact_at_zero
    assert {p.name: p.axis for p in form.parameters if p.name != "B"} == {
        p.name: p.axis for p in known.parameters if p.name != "B"
    }
    scales = Scales.of(points)
    u = drawn(form, 5)
    natural = form.from_u(form.to_natural(u, scales))
    values = dict(zip(form.names, natural.T, strict=True))
    theirs = known.to_u(np.stack([values[parameter] for parameter in known.names], axis=1))
    expected = known.value(theirs, features(points, scales.natural))
    np.testing.assert_allclose(form.value(u, features(points, scales)), expected, rtol=1e-9)
    x = features(points, scales)
    value, jacobian = form.value_and_jacobian(u, x)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    step = 1e-6
    for column in range(u.shape[1]):
        shift = step * np.eye(u.shape[1])[column]
        numeric = (form.value(u + shift, x) - form.value(u - shift, x)) / (2 * step)
        np.testing.assert_allclose(jacobian[:, column], numeric, atol=3e-8 * (1 + np.abs(numeric).max()))
    offset, basis = form.basis(u, x)
    coefficients = form.from_u(u)[:, list(form.linear)]
    np.testing.assert_allclose(offset + np.einsum("sk,skn->sn", coefficients, basis), value, rtol=1e-9)


@pytest.mark.parametrize("name", ["dcpt", "forgetting_pinned"])
def test_a_typed_form_ends_in_the_registry_s_optimum(name: str, make_sample: Callable[..., Points]) -> None:
    points = make_sample(name, noise=3e-3)
    options = replace(QUICK, role=REGISTRY[name].roles[0])
    mine, known = fit(typed(name), points, options), fit(REGISTRY[name], points, options)
    assert mine.objective == pytest.approx(known.objective, rel=1e-6)
    for parameter in ("alpha", "beta"):
        assert mine.law.params[parameter] == pytest.approx(known.law.params[parameter], rel=1e-3)


def test_bounds_are_of_natural_values_and_hold(make_sample: Callable[..., Points]) -> None:
    points = make_sample("chinchilla", noise=1e-3)
    free = fit(build_form(LawForm(name="free", formula=FORMULAS["chinchilla"]["formula"])), points, QUICK).law.params
    wanted = free["A"] * 1.3
    definition = {
        "name": "held",
        "formula": FORMULAS["chinchilla"]["formula"],
        "parameters": {"A": {"bounds": [wanted, wanted * 10]}, "alpha": {"bounds": [0.1, 1.0]}},
    }
    held = fit(build_form(LawForm.model_validate(definition)), points, QUICK)
    assert held.law.params["A"] == pytest.approx(wanted, rel=1e-4)
    assert held.at_bound == ("A",)
    assert held.law.params["alpha"] > free["alpha"]


def test_linear_parameters_are_found_together() -> None:
    assert find_linear(parse("E + A*N**-alpha + B*C*D**-beta")) == ("E", "A", "B")
    assert find_linear(parse("(E + A*N)*(1 + k*D)")) == ("E", "A")
    assert find_linear(parse("E + A*A*N + log(C)*D")) == ("E",)
    assert find_linear(parse("L0 + A*D**beta/((1 + B*rho)*N)**alpha")) == ("A",)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("E + A*N^-alpha", 8, "^ is no power"),
        ("E + A*N**-", 10, "cannot be read"),
        ("E + A N", 7, "cannot be read"),
        ("E + sin(N)", 5, "there is no function 'sin'"),
        ("  E + expp(N)", 7, "there is no function 'expp'"),
        ("E + exp", 5, "exp is a function"),
        ("E + exp(N, D)", 5, "functions of one value"),
        ("E + (N > 3)", 6, "only numbers, names"),
        ("E + True*N", 5, "only numbers, names"),
        ("E + 1e999*N", 5, "not finite"),
        ("α + N.real", 5, "only numbers, names"),
        ("__import__('os').system('true')", 1, "only numbers, names"),
        ("(lambda: N)()", 1, "only numbers, names"),
        ("[N for N in D]", 1, "only numbers, names"),
        ("E + f'{N}'", 5, "only numbers, names"),
        ("", 1, "there is no formula"),
        ("E + " + "(" * 300 + "N" + ")" * 300, 1, "cannot be read"),
        ("N" + "+N" * 3000, 4000, "longer than 4000 characters"),
    ],
)
def test_what_is_no_arithmetic_is_refused_with_its_column(text: str, column: int, words: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert words in caught.value.message
    if column > 1:
        assert f"column {column}:" in caught.value.message


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({"formula": "E + A*n**-alpha"}, "'n' would be a parameter, though it looks like the data 'N'"),
        ({"formula": "E + k"}, "reads no data"),
        ({"formula": "N + D"}, "has no parameter"),
        ({"formula": "E + A/(1 + K*D)"}, "parameters.K needs bounds"),
        ({"formula": "E + A*D**-beta", "parameters": {"gamma": {}}}, "parameters.gamma is not in the formula"),
        ({"formula": "E + A*D**-beta", "parameters": {"D": {}}}, "parameters.D is not in the formula"),
        ({"formula": "E*N", "define": {"Z": "A*D"}}, "does not use Z"),
        ({"formula": "E*Z", "define": {"Z": "A*D^2"}}, r"formula, column 4: \^ is no power \(in Z\)"),
        ({"formula": "E*N", "define": {"N": "A*D"}}, "'N' cannot be the name"),
        (
            {"formula": "E + A*D**-b", "parameters": {"b": {"bounds": [0, 1], "start": [0.5, 2]}}},
            "starts .* leave the bounds",
        ),
    ],
)
def test_definitions_that_make_no_sense_say_why(definition: dict[str, Any], words: str) -> None:
    with pytest.raises(LawError, match=words):
        build_form(LawForm.model_validate({"name": "bad", **definition}))


def test_a_name_of_the_registry_is_taken() -> None:
    with pytest.raises(LawError, match="'dcpt' is a form of the registry"):
        form_of({"name": "dcpt", "formula": "E + A*N**-a"})


@pytest.mark.parametrize("formula", ["E + A*log(-N)", "E + A*N**N**N", "E + A/(rho - 0.25)**2"])
def test_a_form_without_a_value_at_some_points_is_refused(formula: str, make_sample: Callable[..., Points]) -> None:
    with pytest.raises(LawError, match=r"bad has no finite positive value at \d+ of 210 points"):
        fit(build_form(LawForm(name="bad", formula=formula)), make_sample("dcpt"), replace(QUICK, starts=20))
