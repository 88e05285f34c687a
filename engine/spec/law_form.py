"""A law's form as a user writes it: a formula with its parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.spec.strict import Strict


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError(f"is [{pair[0]:g}, {pair[1]:g}]; the lower end comes first")
    return pair


Ends = Annotated[tuple[float, float], AfterValidator(_ordered)]


class LawParameter(Strict):
    """What is known of a parameter before it is fitted; natural values, as in the formula."""

    bounds: Ends | None = None
    """Values it may take."""
    start: Ends | None = None
    """Values that starts are drawn from."""
    meaning: str = ""
    """What it stands for, as it is shown."""


class LawForm(Strict):
    """A law that is not in the registry, as a formula."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    """What it is called; of a file without a name, the file's."""
    formula: str
    """Of the data N, P, D, atpp, rho, r, L0, Q, P0 and of parameters: every other name."""
    define: dict[str, str] = Field(default_factory=dict)
    """Names that stand for parts of the formula."""
    parameters: dict[str, LawParameter] = Field(default_factory=dict)
    """What is known of each; a coefficient or an exponent may be left out."""
    roles: tuple[Literal["target", "base"], ...] = ("target", "base")
    """Losses that it describes."""
    source: str = "your form"
    """Where it comes from, as it is shown."""
