"""Every domain against the reference by every measure, through every embedder: jobs and the command share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.similarity.cache import SimilarityCache
from engine.similarity.embedders import Embedder
from engine.similarity.estimate import estimate
from engine.similarity.measures import Measure, Scale, median_distance
from engine.similarity.samples import Sample
from store.errors import DataError

TOKENS = "tokens"
"""The embedder named with measures that read token ids themselves."""

Pulse = Callable[[str, int], None]
"""``pulse(phase, done)`` hears what is begun and how many steps are done; it may raise to stop."""


@dataclass(frozen=True)
class Similarity:
    """One measure of one domain."""

    domain: str
    reference: str
    measure: str
    embedder: str
    encoder: str
    value: float
    low: float | None
    high: float | None
    n_samples: int
    seed: int
    higher_is_closer: bool


@dataclass(frozen=True)
class View:
    """What a family of measures sees: rows of every sample."""

    embedder: str
    encoder: str
    identity: Any
    reference: NDArray
    domains: tuple[NDArray, ...]
    measures: tuple[Measure, ...]

    @cached_property
    def bandwidth(self) -> float:
        """One for all domains. DataError where most rows are the same."""
        return median_distance(np.concatenate([self.reference, *self.domains]))


@dataclass(frozen=True)
class Comparison:
    """What is compared with what. ``embedders`` build theirs when its turn comes, so that one is held at a time."""

    measures: tuple[Measure, ...]
    embedders: tuple[Callable[[], Embedder], ...]
    reference: Sample
    domains: tuple[Sample, ...]
    seed: int
    resamples: int
    tokenizer: str
    """What is shown as the encoder of measures that read tokens."""
    losses: Callable[[], Embedder] | None = None
    """Reads the windows' losses, for measures of those."""

    def run(self, cache: SimilarityCache, pulse: Pulse, leave_out: Callable[[str], None]) -> Iterator[Similarity]:
        """Every value as it is found. What a measure refuses (Fréchet with too few samples) is told and left out."""
        steps = _Steps(pulse)
        for view in self._views(cache, steps):
            for measure in view.measures:
                after = steps.done + len(self.domains)
                try:
                    yield from self._values(view, measure, cache, steps)
                except DataError as refusal:
                    leave_out(f"{measure.name} with {view.embedder} left out: {refusal.message}. {refusal.hint}")
                steps.done = after

    def _reading(self, what: str) -> tuple[Measure, ...]:
        return tuple(measure for measure in self.measures if measure.reads == what)

    def _embedded(self) -> list[tuple[Callable[[], Embedder], tuple[Measure, ...]]]:
        by_embedding, by_losses = self._reading("embedding"), self._reading("losses")
        found = [(build, by_embedding) for build in self.embedders if by_embedding]
        return [*found, (self.losses, by_losses)] if self.losses is not None and by_losses else found

    def _views(self, cache: SimilarityCache, steps: _Steps) -> Iterator[View]:
        """The views that the measures need, one at a time: the tokens themselves, then one per embedder."""
        if by_tokens := self._reading("tokens"):
            windows = tuple(domain.windows for domain in self.domains)
            yield View(TOKENS, self.tokenizer, TOKENS, self.reference.windows, windows, by_tokens)
        for build, measures in self._embedded():
            embedder = build()
            vectors = []
            for sample in (self.reference, *self.domains):
                steps.begin(f"embedding · {embedder.name}")
                vectors.append(cache.vectors(embedder, sample.windows))
            rest = tuple(vectors[1:])
            yield View(embedder.name, embedder.encoder, embedder.identity, vectors[0], rest, measures)

    def _values(self, view: View, measure: Measure, cache: SimilarityCache, steps: _Steps) -> Iterator[Similarity]:
        scale = Scale(view.bandwidth if measure.reads_bandwidth else 0.0, self.seed)
        for domain, rows in zip(self.domains, view.domains, strict=True):
            steps.begin(f"{measure.name} · {view.embedder}")
            basis = [measure.name, view.identity, domain.digest, self.reference.digest]
            found = cache.estimate(
                [*basis, self.resamples, self.seed, scale.bandwidth],
                lambda rows=rows, domain=domain: estimate(
                    measure,
                    rows,
                    view.reference,
                    domain.groups,
                    self.reference.groups,
                    scale,
                    resamples=self.resamples,
                ),
            )
            yield Similarity(
                domain=domain.name,
                reference=self.reference.name,
                measure=measure.name,
                embedder=view.embedder,
                encoder=view.encoder,
                value=found.value,
                low=found.low,
                high=found.high,
                n_samples=len(domain),
                seed=self.seed,
                higher_is_closer=measure.higher_is_closer,
            )


def count_steps(measures: Sequence[Measure], n_embedders: int, n_domains: int) -> int:
    """Samples that a comparison embeds and values that it computes."""
    reading = Counter(measure.reads for measure in measures)
    embedded = [reading["embedding"]] * n_embedders + [reading["losses"]]
    return reading["tokens"] * n_domains + sum(n * n_domains + n_domains + 1 for n in embedded if n)


class _Steps:
    """Counts steps: one that has begun is done when the next begins."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self.done = 0

    def begin(self, phase: str) -> None:
        self._pulse(phase, self.done)
        self.done += 1
