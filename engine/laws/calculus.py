"""Values and exact derivatives of a formula's tree for many parameter vectors at once, and what it is linear in.

Forward mode: every node carries its value and its derivatives with respect to the parameters below it. Arrays have
shape (S, n), or (S, 1) and (n,) where a node depends on parameters or on data alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.laws.expression import Node
from engine.laws.points import Floats

Gradient = dict[str, Floats]


@dataclass(frozen=True)
class Dual:
    """A value and its derivatives by parameter; a parameter it does not depend on is absent."""

    value: Floats
    gradient: Gradient


def evaluate(root: Node, data: Mapping[str, Floats], parameters: Mapping[str, Floats], *, derive: bool = True) -> Dual:
    """``root`` at data (n,) and parameters (S, 1). Powers and products of 0 follow the limit: 0**x is 0 for x > 0."""
    done: dict[int, Dual] = {}
    with np.errstate(all="ignore"):
        for node in root.walk():
            done[id(node)] = _evaluate(node, [done[id(part)] for part in node.inputs], data, parameters, derive)
    return done[id(root)]


def _evaluate(
    node: Node, inputs: Sequence[Dual], data: Mapping[str, Floats], parameters: Mapping[str, Floats], derive: bool
) -> Dual:
    if node.kind == "const":
        return Dual(np.array(node.value), {})
    if node.kind == "data":
        return Dual(data[node.name], {})
    if node.kind == "parameter":
        return Dual(parameters[node.name], {node.name: np.array(1.0)} if derive else {})
    values = [part.value for part in inputs]
    if node.kind == "**":
        return _power(*inputs)
    result, partials = RULES[node.kind](*values)
    return Dual(result, _chain(inputs, partials) if derive else {})


def _chain(inputs: Sequence[Dual], partials: Sequence[Floats]) -> Gradient:
    """Sum over inputs of partial times the input's derivatives."""
    gradient: Gradient = {}
    for part, partial in zip(inputs, partials, strict=True):
        for name, derivative in part.gradient.items():
            term = partial * derivative
            gradient[name] = gradient[name] + term if name in gradient else term
    return gradient


def _power(base: Dual, exponent: Dual) -> Dual:
    """base**exponent by exp(exponent ln base); a fixed exponent also takes a negative base."""
    x, y = base.value, exponent.value
    if not exponent.gradient and y.ndim == 0:
        value = np.power(x, y)
        return Dual(value, _chain([base], [y * np.power(x, y - 1.0)]) if base.gradient else {})
    zero = x == 0.0
    log = np.log(np.where(zero, 1.0, x))
    value = np.exp(y * log)
    if np.any(zero):
        value = np.where(zero, np.where(y > 0, 0.0, np.where(y == 0, 1.0, np.inf)), value)
    if not (base.gradient or exponent.gradient):
        return Dual(value, {})
    # At a base of 0 the derivative by the exponent is 0: x**y ln x tends to 0 for y > 0.
    by_exponent = np.where(zero, 0.0, value * log) if np.any(zero) else value * log
    by_base = np.where(zero, 0.0, value * y / np.where(zero, 1.0, x)) if base.gradient else value
    return Dual(value, _chain([base, exponent], [by_base, by_exponent]))


ONE = np.array(1.0)
RULES = {
    "+": lambda a, b: (a + b, (ONE, ONE)),
    "-": lambda a, b: (a - b, (ONE, -ONE)),
    "*": lambda a, b: (a * b, (b, a)),
    "/": lambda a, b: (a / b, (1.0 / b, -a / (b * b))),
    "exp": lambda a: (np.exp(a), (np.exp(a),)),
    "log": lambda a: (np.log(a), (1.0 / a,)),
    "log1p": lambda a: (np.log1p(a), (1.0 / (1.0 + a),)),
    "expm1": lambda a: (np.expm1(a), (np.exp(a),)),
    "sqrt": lambda a: (np.sqrt(a), (0.5 / np.sqrt(a),)),
    "tanh": lambda a: (np.tanh(a), (1.0 - np.tanh(a) ** 2,)),
}
"""Value and partial derivatives of each operation."""


def degree(root: Node, chosen: frozenset[str]) -> float:
    """Total degree of ``root`` in the parameters of ``chosen`` taken together; infinite where it is no polynomial."""
    done: dict[int, float] = {}
    for node in root.walk():
        below = [done[id(part)] for part in node.inputs]
        if node.kind == "parameter":
            done[id(node)] = 1.0 if node.name in chosen else 0.0
        elif not any(below):
            done[id(node)] = 0.0
        elif node.kind in ("+", "-"):
            done[id(node)] = max(below)
        elif node.kind == "*":
            done[id(node)] = sum(below)
        elif node.kind == "/" and below[1] == 0.0:
            done[id(node)] = below[0]
        else:
            done[id(node)] = np.inf
    return done[id(root)]


def find_linear(root: Node) -> tuple[str, ...]:
    """Parameters that ``root`` is linear in, all together, once the others are fixed; the earlier named come first."""
    chosen: tuple[str, ...] = ()
    for name in root.names("parameter"):
        if degree(root, frozenset((*chosen, name))) <= 1.0:
            chosen = (*chosen, name)
    return chosen
