"""What a cell of the matrix may show: one number for each seed, and what several seeds say together.

Means over seeds are of losses: a perplexity is exp of the mean loss and a ratio of perplexities exp of the mean ΔL, so
that ln of one is the mean of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from odyssey_tui.services.format import number, perplexity, signed
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from odyssey_tui.services.matrix_state import State


@dataclass(frozen=True)
class Score:
    """One seed's run on one text. Losses in nats per token; what was not measured, or is not finite, is None."""

    seed: int | None
    run_id: str
    before: str | None
    """Evaluation of the base state; with ``after`` the pair of a token ledger."""
    after: str
    loss: float | None
    zero_shot_loss: float | None
    bits: float | None
    zero_shot_bits: float | None
    predicted: int | None

    @property
    def delta(self) -> float | None:
        """ΔL, nats per token."""
        return difference(self.loss, self.zero_shot_loss)

    @property
    def delta_bits(self) -> float | None:
        """The same in bits per byte."""
        return difference(self.bits, self.zero_shot_bits)


def difference(after: float | None, before: float | None) -> float | None:
    """After minus before; None where either is."""
    return None if after is None or before is None else after - before


def score_of(state: State) -> Score:
    """What is shown of a scored state."""

    def finite(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    return Score(
        state.seed,
        state.run_id,
        state.zero_shot_evaluation_id,
        state.evaluation_id,
        finite(state.loss),
        finite(state.zero_shot_loss),
        finite(state.bits),
        finite(state.zero_shot_bits),
        state.predicted,
    )


@dataclass(frozen=True)
class Value:
    """One way to look at a score: ``of`` is averaged over seeds, ``shown`` is what the mean stands for."""

    name: str
    title: str
    unit: str
    of: Callable[[Score], float | None]
    shown: Callable[[float], float]
    base: str
    """The value that the zero-shot row has beside it."""
    change: bool
    """Whether it says what adaptation did: 0 (of ratios 1) is no change."""
    per_token: bool
    digits: int = 3

    @property
    def level(self) -> str:
        """What the zero-shot row shows beside it, in words."""
        return {"ppl": "perplexity of the base model", "bits": "bits per byte of the base model"}.get(
            self.name, f"loss of the base model, {self.unit}"
        )

    def text(self, value: float | None, digits: int | None = None) -> str:
        """A number of this kind; a change in nats or bits with its sign."""
        places = self.digits if digits is None else digits
        return signed(value, places) if self.change and self.shown is _same else number(value, places)

    def heat(self, mean: float) -> float:
        """What a colour stands for: the change, of a ratio its logarithm."""
        return math.log(mean) if self.shown is not _same and self.change else mean


def _same(value: float) -> float:
    return value


VALUES: Mapping[str, Value] = {
    value.name: value
    for value in (
        Value("delta", "ΔL", "nats/token", lambda s: s.delta, _same, "zero-shot", True, True),
        Value("loss", "loss after adaptation", "nats/token", lambda s: s.loss, _same, "zero-shot", False, True),
        Value("ppl", "perplexity after adaptation", "", lambda s: s.loss, perplexity, "ppl", False, True, 2),
        Value("ppl-ratio", "PPL ratio", "adapted / zero-shot", lambda s: s.delta, perplexity, "ppl", True, True),
        Value("zero-shot", "zero-shot loss", "nats/token", lambda s: s.zero_shot_loss, _same, "zero-shot", False, True),
        Value("bits", "bits per byte after adaptation", "", lambda s: s.bits, _same, "bits", False, False),
        Value("delta-bits", "change of bits per byte", "bits/byte", lambda s: s.delta_bits, _same, "bits", True, False),
    )
}


ZERO_SHOT_PPL = Value(
    "zero-shot-ppl", "zero-shot PPL", "", lambda s: s.zero_shot_loss, perplexity, "ppl", False, True, 2
)
ZERO_SHOT_BITS = Value(
    "zero-shot-bits", "zero-shot bits per byte", "", lambda s: s.zero_shot_bits, _same, "bits", False, False
)


@dataclass(frozen=True)
class Summary:
    """A value over seeds: mean, lowest and highest, standard deviation (None of one seed)."""

    mean: float
    low: float
    high: float
    sd: float | None
    n: int


def summarise(scores: Sequence[Score], value: Value) -> Summary | None:
    """What the seeds say together; None where none of them has the value."""
    return summary_of([one for score in scores if (one := value.of(score)) is not None], value.shown)


def summary_of(found: Sequence[float], shown: Callable[[float], float] = _same) -> Summary | None:
    """What values of several seeds say together; None of none."""
    if not found:
        return None
    each = [shown(one) for one in found]
    finite = len(found) > 1 and all(map(math.isfinite, each))
    return Summary(shown(fmean(found)), min(each), max(each), _deviation(each) if finite else None, len(found))


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation, n − 1; ``statistics.stdev`` computes in fractions, 0.5 ms each."""
    mean = fmean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def find_value(name: str) -> Value:
    """The value of this name; ConfigError with the nearest for one that there is not."""
    if name not in VALUES:
        raise ConfigError(
            f"--value {name}: no such value", f"{suggest(name, VALUES)} Values are: {', '.join(VALUES)}.".lstrip()
        )
    return VALUES[name]
