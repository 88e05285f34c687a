"""Points and forms to fit as one process describes them to another: JSON, no run and no workspace."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.laws.anchors import Anchors, Choice
from engine.laws.crossval import FoldAxis
from engine.laws.fit import FitOptions
from engine.laws.form import Role
from engine.laws.points import Points


@dataclass(frozen=True)
class FitRequest:
    """Fit ``forms`` to the points of split ``fit`` and score them on those of split ``score``."""

    columns: dict[str, list[Any]]
    """Of ``Points``, one value a point; None where it was not measured."""
    forms: tuple[str | dict[str, Any], ...]
    """Names, or the content of ``engine.spec.law_form.LawForm``."""
    role: Role = "target"
    delta: float = 1e-3
    starts: int = 500
    bootstrap: int = 1000
    seed: int = 0
    anchors: tuple[int, ...] = ()
    """Numbers of held-out points that join further fits of each form."""
    anchor_choice: Choice = "cheapest"
    anchor_weight: float = 1.0
    level: float = 0.9
    """Share of the bootstrap draws that intervals and bands hold."""
    cross_validate: FoldAxis | Literal["", "auto"] = ""
    """What is left out in turn to choose among forms; empty: nothing."""
    only_best: bool = False
    """Whether only the form that cross-validation chooses is fitted."""
    draws: bool = False
    """Whether the answer has the draws."""

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> FitRequest:
        """The request that ``text`` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "forms": tuple(fields["forms"]), "anchors": tuple(fields["anchors"])})

    @property
    def options(self) -> FitOptions:
        """How to fit."""
        return FitOptions(self.role, self.delta, self.starts, self.bootstrap, self.seed)

    def anchored(self, count: int) -> Anchors:
        """``count`` anchors, where all fits are scored on the same points."""
        most = max(self.anchors, default=0)
        return Anchors(count, most, self.anchor_choice, self.anchor_weight, self.seed)

    @property
    def points(self) -> Points:
        """The points as columns; None is NaN."""
        numbers = {name: values for name, values in self.columns.items() if name not in TEXTS}
        columns: dict[str, Any] = {
            name: [float("nan") if value is None else value for value in values] for name, values in numbers.items()
        }
        columns |= {name: self.columns[name] for name in TEXTS if name in self.columns}
        return Points.from_columns(columns, length=len(self.columns["loss"]))


TEXTS = ("run", "split", "reason", "place")
