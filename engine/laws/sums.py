"""Forms that are sums of terms, each a positive coefficient times powers of the data variables (or of r + eps)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.laws.features import Features
from engine.laws.form import Form
from engine.laws.points import Floats


class Term(ABC):
    """One term of a sum. ``coefficient`` is the name of its logarithmic coefficient."""

    coefficient: str

    @abstractmethod
    def value(self, u: Floats, x: Features, index: dict[str, int]) -> Floats:
        """The term (S, n)."""

    @abstractmethod
    def gradients(self, value: Floats, u: Floats, x: Features, index: dict[str, int]) -> Iterator[tuple[str, Floats]]:
        """Derivatives by parameter name, given the term's ``value``; each broadcasts to (S, n)."""


@dataclass(frozen=True)
class Powers(Term):
    """exp(u_c + sum of sign * u_k * feature): a coefficient times powers. With ``share_power`` the term is also times
    r^eta."""

    coefficient: str
    exponents: tuple[tuple[str, float, str], ...] = ()
    """(parameter, factor, feature of ``Features``)."""
    share_power: str = ""

    def value(self, u: Floats, x: Features, index: dict[str, int]) -> Floats:
        columns = [index[self.coefficient], *(index[name] for name, _, _ in self.exponents)]
        rows = [x.one, *(factor * getattr(x, feature) for _, factor, feature in self.exponents)]
        if not self.share_power:
            return np.exp(u[:, columns] @ np.stack(rows))
        eta = u[:, index[self.share_power], None]
        full = np.exp(u[:, [*columns, index[self.share_power]]] @ np.stack([*rows, x.ln_r]))
        return full * np.where(x.r > 0, 1.0, eta == 0.0)

    def gradients(self, value: Floats, u: Floats, x: Features, index: dict[str, int]) -> Iterator[tuple[str, Floats]]:
        yield self.coefficient, value
        for name, factor, feature in self.exponents:
            yield name, value * (factor * getattr(x, feature))
        if self.share_power:
            yield self.share_power, value * x.ln_r


@dataclass(frozen=True)
class ShareFloor(Term):
    """C / (r + eps)^gamma: what a corpus loses when its share of the mix is small (D-CPT's third term); ``exponents``
    as of ``Powers``. With ``bend``, (parameter, feature), the exponent is gamma + parameter * feature."""

    coefficient: str = "C"
    epsilon: str = "eps"
    gamma: str = "gamma"
    exponents: tuple[tuple[str, float, str], ...] = ()
    bend: tuple[str, str] | None = None

    def value(self, u: Floats, x: Features, index: dict[str, int]) -> Floats:
        powers = Powers(self.coefficient, self.exponents).value(u, x, index)
        return powers * np.exp(-self._power(u, x, index) * self._log_share(u, x, index))

    def gradients(self, value: Floats, u: Floats, x: Features, index: dict[str, int]) -> Iterator[tuple[str, Floats]]:
        epsilon = np.exp(u[:, index[self.epsilon], None])
        yield from Powers(self.coefficient, self.exponents).gradients(value, u, x, index)
        yield self.epsilon, value * (-self._power(u, x, index) * epsilon / (x.r + epsilon))
        by_power = value * -self._log_share(u, x, index)
        yield self.gamma, by_power
        if self.bend:
            yield self.bend[0], by_power * getattr(x, self.bend[1])

    def _power(self, u: Floats, x: Features, index: dict[str, int]) -> Floats:
        power = u[:, index[self.gamma], None]
        return power + u[:, index[self.bend[0]], None] * getattr(x, self.bend[1]) if self.bend else power

    def _log_share(self, u: Floats, x: Features, index: dict[str, int]) -> Floats:
        return np.log(x.r + np.exp(u[:, index[self.epsilon], None]))


@dataclass(frozen=True)
class SumForm(Form):
    """L = sum of ``terms``."""

    terms: tuple[Term, ...] = ()

    def value(self, u: Floats, x: Features) -> Floats:
        total = self.terms[0].value(u, x, self.index)
        for term in self.terms[1:]:
            total = total + term.value(u, x, self.index)
        return total

    def value_and_jacobian(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        jacobian = np.zeros((len(u), len(self.parameters), len(x.one)))
        total = np.zeros((len(u), len(x.one)))
        for term in self.terms:
            value = term.value(u, x, self.index)
            total += value
            for name, gradient in term.gradients(value, u, x, self.index):
                jacobian[:, self.index[name]] += gradient
        return total, jacobian

    def basis(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        unit = u.copy()
        unit[:, list(self.linear)] = 0.0
        rows = {term.coefficient: term.value(unit, x, self.index) for term in self.terms}
        stacked = np.stack([rows[self.names[position]] for position in self.linear], axis=1)
        return np.zeros((len(u), len(x.one))), stacked
