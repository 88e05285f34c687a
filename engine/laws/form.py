"""What a law's form is: parameters, a value and an analytic Jacobian over many parameter vectors at once.

Parameter vectors ``u`` have shape (S, p): coefficients and other positive parameters enter as logarithms, exponents
as they are. Values are (S, n) and Jacobians with respect to u are (S, p, n), for n points.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.laws.features import Features, Scales
from engine.laws.points import Floats

if TYPE_CHECKING:
    from engine.spec.law_form import LawForm

Role = Literal["target", "base"]
Axis = Literal["", "N", "P", "r"]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Scaling:
    """One piece of a parameter's conversion: natural u = scaled u + sum of factor * ln(reference) * u[by] (or * 1
    without ``by``).

    ``reference`` names a field of ``Scales``; ``"pn*d"`` is the product of the two logarithms.
    """

    by: str
    reference: str
    factor: float = 1.0


@dataclass(frozen=True)
class Parameter:
    """A parameter of a form. ``bounds`` and ``start`` are natural values in scaled units (coefficients: nats at the
    data's centre)."""

    name: str
    meaning: str
    bounds: Bounds
    start: Bounds
    log: bool = False
    linear: bool = False
    """The law is linear in it once the others are fixed: starts are found by non-negative least squares."""
    axis: Axis = ""
    """Dropped (set to ``neutral``) when the data hold too few values along this axis."""
    neutral: float = 0.0
    least: float = 1e-3
    """Where a linear coefficient starts that least squares sets to zero, so that it can come back."""
    scaling: tuple[Scaling, ...] = ()

    @property
    def limits(self) -> Bounds:
        """Bounds of ``u``."""
        low, high = self.bounds
        return (float(np.log(low)), float(np.log(high))) if self.log else (low, high)


@dataclass(frozen=True)
class Form(ABC):
    """A law L(data; parameters), in nats per token."""

    name: str
    formula: str
    source: str
    """Where the form is published, or that it is this project's."""
    parameters: tuple[Parameter, ...]
    needs: tuple[str, ...]
    """Columns of ``Points`` it reads."""
    roles: tuple[Role, ...] = ("target", "base")
    exact_at_zero: bool = False
    """Whether L = L0 at D = 0, as limits on forgetting require."""
    saw: str = "nothing"
    """What it is told about a held-out checkpoint before it predicts."""
    falls_with: tuple[str, ...] = ()
    """Data variables that its definition says the loss falls with."""
    definition: LawForm | None = None
    """As a user wrote it; None for the forms of the registry."""

    @abstractmethod
    def value(self, u: Floats, x: Features) -> Floats:
        """Losses (S, n)."""

    @abstractmethod
    def value_and_jacobian(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        """Losses (S, n) and their derivatives with respect to u (S, p, n)."""

    @abstractmethod
    def basis(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        """Offset (S, n) and basis (S, k, n) with L = offset + sum over the k ``linear`` parameters of value * basis."""

    @property
    def describes_pretraining(self) -> bool:
        """Whether it is a curve over model sizes and tokens alone, so that D may be the tokens of pretraining."""
        return set(self.needs) <= {"n_params", "adapt_tokens"}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of ``u``."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each parameter in ``u``."""
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def linear(self) -> tuple[int, ...]:
        """Positions of the parameters the law is linear in."""
        return tuple(i for i, parameter in enumerate(self.parameters) if parameter.linear)

    @cached_property
    def _log(self) -> np.ndarray:
        return np.array([parameter.log for parameter in self.parameters])

    def to_u(self, values: Mapping[str, float] | Sequence[float] | Floats) -> Floats:
        """Parameter values (a mapping, or an array (..., p)) to ``u``: logarithms where the form uses them."""
        ordered = [values[name] for name in self.names] if isinstance(values, Mapping) else values
        array = np.array(ordered, dtype=np.float64)
        with np.errstate(divide="ignore"):
            array[..., self._log] = np.log(array[..., self._log])
        return array

    def from_u(self, u: Floats) -> Floats:
        """``u`` (..., p) to parameter values of the same shape."""
        values = np.array(u, dtype=np.float64)
        values[..., self._log] = np.exp(values[..., self._log])
        return values

    def _conversion(self, scales: Scales) -> tuple[Floats, Floats]:
        """Matrix M (p, p) and constant c (p,) with natural u = M scaled u + c."""
        size = len(self.parameters)
        matrix, constant = np.eye(size), np.zeros(size)
        for row, parameter in enumerate(self.parameters):
            for piece in parameter.scaling:
                amount = piece.factor * np.prod([scales.log(name) for name in piece.reference.split("*")])
                if piece.by:
                    matrix[row, self.index[piece.by]] += amount
                else:
                    constant[row] += amount
        return matrix, constant

    def to_natural(self, u: Floats, scales: Scales) -> Floats:
        """Scaled ``u`` (..., p) to natural ``u``; switched-off coefficients (-inf) stay off."""
        matrix, constant = self._conversion(scales)
        off = np.isneginf(u)
        return np.where(off, -np.inf, np.where(off, 0.0, u) @ matrix.T + constant)
