"""How many sequences of target and of replayed text a mixture holds: plain counting, for plans and for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.plan.work import Work
    from engine.spec.run import AdaptJob, Corpus, PretrainJob


def exact_ratio(replay_ratio: float) -> Fraction:
    """The ratio as the decimal the user wrote: floating-point products would drift after some 10^15 sequences, and
    worse, make two neighbouring positions round the same way."""
    return Fraction(str(replay_ratio))


def count_replayed(ratio: Fraction, sequences: int) -> int:
    """How many of the first ``sequences`` are replayed: sequences · ratio, rounded half up, in integers."""
    numerator, denominator = ratio.numerator, ratio.denominator
    return (2 * sequences * numerator + denominator) // (2 * denominator)


def count_turns(replayed: int, corpora: int) -> tuple[int, ...]:
    """Sequences drawn of each of ``corpora`` that take turns."""
    return tuple((replayed - corpus + corpora - 1) // corpora for corpus in range(corpora))


@dataclass(frozen=True)
class PlannedMixture:
    """What a run reads up to its largest budget. Epochs are sequences drawn over whole sequences there are."""

    sequences: int
    replayed: int
    epochs: Mapping[str, float | None]
    """By corpus, the target first; None where its tokens are not counted yet."""

    @property
    def realised(self) -> float:
        """Share of the sequences that are replayed."""
        return self.replayed / self.sequences

    @property
    def most(self) -> tuple[str, float] | None:
        """The corpus that is read most often, of those that are known."""
        known = [(name, epochs) for name, epochs in self.epochs.items() if epochs is not None]
        return max(known, key=lambda one: one[1], default=None)


def plan_mixture(job: AdaptJob | PretrainJob, work: Work, tokens: Mapping[str, int]) -> PlannedMixture | None:
    """The mixture of a run; ``tokens`` are those of train splits by ``Corpus.key()``. None where its length is unknown.

    A base reads its corpora in turns; an adaptation its domain and, in turns, what it replays.
    """
    if not work.sequences:
        return None
    length = job.training.sequence
    adapts = job.kind == "adapt"
    replayed = count_replayed(exact_ratio(job.replay_ratio), work.sequences) if adapts else work.sequences
    corpora = job.replay if adapts else job.corpora
    drawn: list[tuple[Corpus, int]] = (
        [(job.target, work.sequences - replayed)] if adapts and job.replay_ratio < 1 else []
    )
    drawn += zip(corpora, count_turns(replayed, len(corpora)), strict=True) if corpora else []
    epochs = {
        corpus.name: number / (tokens[corpus.key()] // length) if tokens.get(corpus.key(), 0) >= length else None
        for corpus, number in drawn
    }
    return PlannedMixture(work.sequences, replayed if adapts else 0, epochs)
