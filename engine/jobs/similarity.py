"""The similarity job: every domain against the reference text, by every measure and embedder asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from engine.similarity.cache import SimilarityCache
from engine.similarity.comparison import Comparison, count_steps
from engine.similarity.embedders import Embedder, ModelEmbedder
from engine.similarity.measures import REGISTRY
from engine.similarity.names import find
from engine.similarity.ngrams import NgramEmbedder
from engine.similarity.samples import Sample, count_windows, draw_sample, equal_size, sample_seed
from engine.similarity.sentence import SentenceEmbedder, decoder_of, require_library
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.data.tokens import TokenStream
    from engine.report import JobContext
    from engine.spec.run import Corpus, SimilarityJob

Factory = Callable[["SimilarityJob", "LoadedTokenizer", "JobContext"], Embedder]


def execute(job: SimilarityJob, context: JobContext) -> None:
    """Emit one ``similarity`` event per domain, measure and embedder.

    All samples have one size. A measure that refuses an embedder (Fréchet with too few samples) is left out with a
    warning; DataError when nothing remains.
    """
    from engine.data.tokenizer import load_tokenizer
    from engine.data.tokens import token_stream

    report = context.report
    measures = tuple(find("measure", name, REGISTRY) for name in job.measures)
    factories = tuple(find("embedder", name, EMBEDDERS) for name in job.embedders)
    if "model" in job.embedders and job.encoder is None:
        raise ConfigError("embedders: `model` without an encoder", "Name one: `encoder: {source: gpt2}`.")
    if "sentence" in job.embedders:
        require_library()
    total = count_steps(measures, len(factories), len(job.domains))
    report.running(total, "steps")
    report.progress(0, "tokenising")
    tokenizer = load_tokenizer(job.tokenizer, context.workspace)

    def read(corpus: Corpus) -> TokenStream:
        report.check_stop()
        return token_stream(corpus, "train", tokenizer, context.workspace)

    reference, domains = draw_samples(job, context, read)
    comparison = Comparison(
        measures,
        tuple(lambda factory=factory: factory(job, tokenizer, context) for factory in factories),
        reference,
        domains,
        context.spec.seed,
        job.bootstrap,
        tokenizer.tokenizer_id,
    )

    def pulse(phase: str, done: int) -> None:
        report.check_stop()
        report.progress(done, phase)

    emitted = 0
    for similarity in comparison.run(SimilarityCache(context.workspace), pulse, report.warning):
        report.emit("similarity", **asdict(similarity))
        emitted += 1
    report.progress(total, "done")
    if not emitted:
        raise DataError("no measure could be computed on these samples", "The warnings of this run say why.")


def draw_samples(
    job: SimilarityJob, context: JobContext, read: Callable[[Corpus], TokenStream]
) -> tuple[Sample, tuple[Sample, ...]]:
    """The reference's sample and one per domain, all of one size; a reduced size is a warning."""
    reference = [read(corpus) for corpus in job.reference]
    streams = [("domain", corpus.name, [read(corpus)]) for corpus in job.domains]
    everything = [("reference", "+".join(corpus.name for corpus in job.reference), reference), *streams]
    count = equal_size(job.samples, [(name, count_windows(found, job.sample_tokens)) for _, name, found in everything])
    if count < job.samples:
        context.report.warning(
            f"samples reduced from {job.samples} to {count} for every corpus: the smallest holds no more windows"
        )
    samples = [
        draw_sample(name, found, count, job.sample_tokens, sample_seed(context.spec.seed, role, name))
        for role, name, found in everything
    ]
    return samples[0], tuple(samples[1:])


def embed_ngrams(job: SimilarityJob, tokenizer: LoadedTokenizer, context: JobContext) -> Embedder:
    """Hashed n-grams of the tokens."""
    return NgramEmbedder(tokenizer.tokenizer_id)


def embed_by_model(job: SimilarityJob, tokenizer: LoadedTokenizer, context: JobContext) -> Embedder:
    """Hidden states of the encoder. DataError where it was trained with another tokenizer."""
    from engine.models.load import load_model, read_facts

    assert job.encoder is not None
    loaded = load_model(job.encoder, context.workspace, context.device)
    own = read_facts(job.encoder, context.workspace, loaded).tokenizer_id
    if own is not None and own != tokenizer.tokenizer_id:
        raise DataError(
            f"{job.encoder.model_id} was trained with tokenizer {own}, the samples are in tokens of "
            f"{tokenizer.tokenizer_id} ({tokenizer.source})",
            "Use the tokenizer that the encoder was trained with.",
        )
    return ModelEmbedder(loaded, job.encoder.model_id, context.device)


def embed_sentences(job: SimilarityJob, tokenizer: LoadedTokenizer, context: JobContext) -> Embedder:
    """Vectors of a sentence encoder, of the samples' texts."""
    return SentenceEmbedder(job.sentence_model, decoder_of(tokenizer), tokenizer.tokenizer_id, context.device)


EMBEDDERS: dict[str, Factory] = {"ngrams": embed_ngrams, "model": embed_by_model, "sentence": embed_sentences}
