"""Measured points: one adapted (or pretrained) model state per row, with the data variables of the laws.

Symbols: N ``n_params``, P ``ptpp``, A ``atpp``, D ``adapt_tokens``, rho ``replay_ratio``, r ``share``, L0
``zero_shot_loss``. ``share`` is the share, in the adaptation mix, of the corpus whose loss is predicted: 1 - rho for
the target, rho for the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.laws.errors import LawError

Floats = NDArray[np.float64]
DISTINCT = 0.05
"""Values of N, P, D closer than 5 % count as one: a budget is rounded to whole batches."""


@dataclass(frozen=True)
class Points:
    """Columns of equal length n; what was not measured is NaN. Losses in nats per token."""

    run: NDArray[np.str_]
    """The run a point belongs to: points of one trajectory are not independent, so runs are what is resampled."""
    n_params: Floats
    ptpp: Floats
    atpp: Floats
    adapt_tokens: Floats
    """D, the tokens of the whole mix; for pretraining curves the training tokens."""
    replay_ratio: Floats
    share: Floats
    loss: Floats
    zero_shot_loss: Floats
    quality: Floats
    """Zero-shot loss of the same checkpoint on its BASE corpus, whatever loss is predicted."""
    base_epochs: Floats
    """How often the base text was read before adaptation; of several corpora the one read most."""
    target_epochs: Floats
    """How often the domain's text was read in adaptation."""
    replay_epochs: Floats
    """How often the base text was read in adaptation; of several corpora the one read most."""
    weight: Floats
    split: NDArray[np.str_]
    """``fit``, ``score``, ``anchor`` or ``excluded``."""
    reason: NDArray[np.str_]
    """Why a point is excluded, else empty."""
    place: NDArray[np.str_]
    """Where a point was read, for example a line of a table; empty where it comes from a run."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], length: int | None = None) -> Points:
        """Build from columns by name (scalars are repeated); absent ones are NaN, weight 1, split ``fit``, one run
        per point.

        D and A are derived from each other when one is absent, the rest never is.
        """
        given = {name: np.atleast_1d(np.asarray(value)) for name, value in columns.items()}
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise LawError(f"Points have no column {', '.join(unknown)}.", f"Columns: {', '.join(sorted(known))}.")
        n = length if length is not None else max((len(value) for value in given.values()), default=0)
        defaults: dict[str, Any] = {"weight": 1.0, "split": "fit", "reason": "", "place": ""}
        out: dict[str, NDArray[Any]] = {}
        for field in fields(cls):
            text = field.name in ("run", "split", "reason", "place")
            value = given.get(field.name)
            if value is None and field.name == "run":
                value = np.array([f"point-{index}" for index in range(n)])
            elif value is None:
                value = np.array([defaults.get(field.name, np.nan)])
            out[field.name] = np.broadcast_to(value.astype(str if text else np.float64), (n,))
        if "adapt_tokens" not in given and "atpp" in given:
            out["adapt_tokens"] = out["atpp"] * out["n_params"]
        if "atpp" not in given and "adapt_tokens" in given:
            out["atpp"] = out["adapt_tokens"] / out["n_params"]
        return cls(**out)

    def __len__(self) -> int:
        return len(self.loss)

    def select(self, mask: NDArray[Any]) -> Points:
        """The points where ``mask`` is true (or at its indices)."""
        return Points(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    def with_split(self, split: NDArray[np.str_] | str, reason: NDArray[np.str_] | str = "") -> Points:
        """The same points with another split and reason."""
        n = (len(self),)
        return replace(self, split=np.broadcast_to(np.asarray(split), n), reason=np.broadcast_to(np.asarray(reason), n))


def concatenate(parts: Sequence[Points]) -> Points:
    """All points of ``parts`` in order."""
    return Points(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Points)})


def count_distinct(values: Floats) -> int:
    """How many values differ by more than 5 % (zero counts as a value; NaN does not)."""
    positive = np.sort(np.log(values[values > 0]))
    return int(np.any(values == 0)) + (1 + int(np.sum(np.diff(positive) > DISTINCT)) if len(positive) else 0)


def group_values(values: Floats) -> list[float]:
    """The distinct positive values (geometric mean of each cluster that is closer than 5 %), ascending."""
    logs = np.sort(np.log(values[values > 0]))
    if not len(logs):
        return []
    clusters = np.split(logs, np.flatnonzero(np.diff(logs) > DISTINCT) + 1)
    return [float(np.exp(cluster.mean())) for cluster in clusters]
