"""The similarity job: every domain against the reference text, by every measure and embedder asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.similarity.embedders import Embedder, ModelEmbedder, embed_cached
from engine.similarity.estimate import estimate
from engine.similarity.measures import REGISTRY, Measure, Scale, median_distance
from engine.similarity.names import find
from engine.similarity.ngrams import NgramEmbedder
from engine.similarity.samples import Sample, count_windows, draw_sample, equal_size
from engine.spec.strict import content_key
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.data.tokens import TokenStream
    from engine.report import JobContext
    from engine.spec.run import Corpus, SimilarityJob

TOKENS = "tokens"
"""The embedder named with measures that read token ids themselves."""


@dataclass(frozen=True)
class View:
    """What a family of measures sees: rows of every sample, and the scale they share."""

    embedder: str
    encoder: str
    reference: NDArray
    domains: tuple[NDArray, ...]
    scale: Scale
    measures: tuple[Measure, ...]


def execute(job: SimilarityJob, context: JobContext) -> None:
    """Emit one ``similarity`` event per domain, measure and embedder.

    All samples have one size. A measure that refuses an embedder (Fréchet with too few samples) is left out with a
    warning; DataError when nothing remains.
    """
    from engine.data.tokenizer import load_tokenizer
    from engine.data.tokens import token_stream

    report = context.report
    measures = tuple(find("measure", name, REGISTRY) for name in job.measures)
    factories = embedder_factories(job, context)
    chosen = tuple(find("embedder", name, factories) for name in job.embedders)
    by_embedding = sum(m.reads == "embedding" for m in measures)
    total = len(job.domains) * (by_embedding * len(chosen) + len(measures) - by_embedding)
    report.running(total, "comparisons")
    report.progress(0, "tokenising")
    tokenizer = load_tokenizer(job.tokenizer, context.workspace)

    def read(corpus: Corpus) -> TokenStream:
        report.check_stop()
        return token_stream(corpus, "train", tokenizer, context.workspace)

    reference, domains = draw_samples(job, context, read)
    done, emitted = 0, 0
    for view in see(measures, chosen, reference, domains, tokenizer, context):
        for measure in view.measures:
            report.progress(done, f"{measure.name} · {view.embedder}")
            try:
                compare(view, measure, reference, domains, job.bootstrap, context, done)
                emitted += 1
            except DataError as refusal:
                report.warning(f"{measure.name} with {view.embedder} left out: {refusal.message}. {refusal.hint}")
            done += len(domains)
    report.progress(total, "done")
    if not emitted:
        raise DataError("no measure could be computed on these samples", "The warnings of this run say why.")


def compare(
    view: View,
    measure: Measure,
    reference: Sample,
    domains: tuple[Sample, ...],
    resamples: int,
    context: JobContext,
    done: int,
) -> None:
    """Emit the measure of every domain; DataError when the measure refuses this view."""
    for i, (domain, rows) in enumerate(zip(domains, view.domains, strict=True)):
        context.report.check_stop()
        result = estimate(
            measure, rows, view.reference, domain.groups, reference.groups, view.scale, resamples=resamples
        )
        context.report.emit(
            "similarity",
            domain=domain.name,
            reference=reference.name,
            measure=measure.name,
            embedder=view.embedder,
            encoder=view.encoder,
            value=result.value,
            low=result.low,
            high=result.high,
            n_samples=len(domain),
            seed=context.spec.seed,
            higher_is_closer=measure.higher_is_closer,
        )
        context.report.progress(done + i + 1, f"{measure.name} · {view.embedder}")


def draw_samples(
    job: SimilarityJob, context: JobContext, read: Callable[[Corpus], TokenStream]
) -> tuple[Sample, tuple[Sample, ...]]:
    """The reference's sample and one per domain, all of one size; a reduced size is a warning."""
    reference = [read(corpus) for corpus in job.reference]
    streams = [(corpus.name, [read(corpus)]) for corpus in job.domains]
    name = "+".join(corpus.name for corpus in job.reference)
    everything = [(name, reference), *streams]
    count = equal_size(job.samples, [(n, count_windows(s, job.sample_tokens)) for n, s in everything])
    if count < job.samples:
        context.report.warning(
            f"samples reduced from {job.samples} to {count} for every corpus: the smallest holds no more windows"
        )
    samples = [
        draw_sample(n, s, count, job.sample_tokens, seed=int(content_key([context.spec.seed, i, n]), 16))
        for i, (n, s) in enumerate(everything)
    ]
    return samples[0], tuple(samples[1:])


def embedder_factories(job: SimilarityJob, context: JobContext) -> dict[str, Callable[[LoadedTokenizer], Embedder]]:
    """How to build each embedder, once the tokenizer is loaded."""

    def ngrams(tokenizer: LoadedTokenizer) -> Embedder:
        return NgramEmbedder(tokenizer.tokenizer_id)

    def model(tokenizer: LoadedTokenizer) -> Embedder:
        from engine.models.load import load_model

        if job.encoder is None:
            raise ConfigError("embedders: `model` without an encoder", "Name one: `encoder: {source: gpt2}`.")
        loaded = load_model(job.encoder, context.workspace, context.device)
        return ModelEmbedder(loaded, job.encoder.model_id, context.device)

    return {"ngrams": ngrams, "model": model}


def see(
    measures: tuple[Measure, ...],
    factories: tuple[Callable[[LoadedTokenizer], Embedder], ...],
    reference: Sample,
    domains: tuple[Sample, ...],
    tokenizer: LoadedTokenizer,
    context: JobContext,
) -> Iterator[View]:
    """The views that the measures need, one at a time: the tokens themselves, then one per embedder."""
    seed = context.spec.seed
    by_tokens = tuple(m for m in measures if m.reads == "tokens")
    by_embedding = tuple(m for m in measures if m.reads == "embedding")
    if by_tokens:
        windows = tuple(domain.windows for domain in domains)
        scale = Scale(0.0, seed)
        yield View(TOKENS, tokenizer.tokenizer_id, reference.windows, windows, scale, by_tokens)
    for factory in factories if by_embedding else ():
        embedder = factory(tokenizer)
        context.report.progress(0, f"embedding · {embedder.name}")
        vectors = [embed_cached(embedder, sample.windows, context.workspace) for sample in (reference, *domains)]
        scale = Scale(median_distance(np.concatenate(vectors)), seed)
        yield View(embedder.name, embedder.encoder, vectors[0], tuple(vectors[1:]), scale, by_embedding)
