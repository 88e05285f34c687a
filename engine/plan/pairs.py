"""Which texts are trained on and scored together: what a format audit compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.spec.auditing import TextPair
from engine.spec.run import AdaptJob, Corpus, EvalSet, Model, PrepareJob, PretrainJob, RunSpec, Separator, Tokenizer


def list_pairs(runs: Sequence[RunSpec]) -> tuple[TextPair, ...]:
    """The pairs of a plan's runs: every text with its own evaluation sets, then with that of the base."""
    found = [pair for run in runs for pair in _of_job(run)]
    return _distinct(sorted(found, key=lambda pair: not pair.own))


def prepared_pairs(job: PrepareJob) -> tuple[TextPair, ...]:
    """The pairs that runs over these texts can have, in every form of the training text that is prepared."""
    base = next((spec for spec in job.sets if spec.role == "base"), None)
    found = []
    for separator in job.separators:
        if base is not None:
            found.append(TextPair(domain=base.name, corpora=base.corpora, separator=separator, evaluated=base))
        for corpus in job.corpora:
            own = [spec for spec in job.sets if spec.role != "base" and _is_of(spec, corpus)]
            found += [_pair(corpus, separator, spec, own=True) for spec in own]
            if base is not None and own:
                found.append(_pair(corpus, separator, base, own=False))
    return _distinct(sorted(found, key=lambda pair: not pair.own))


def tokenizer_of(runs: Sequence[RunSpec]) -> Tokenizer | None:
    """The tokenizer of a plan's runs."""
    return next((run.job.tokenizer for run in runs if isinstance(run.job, PrepareJob | AdaptJob | PretrainJob)), None)


def base_of(runs: Sequence[RunSpec]) -> Model | None:
    """The existing base that a plan's runs adapt; None for one that is pretrained here."""
    found = (run.job.base for run in runs if isinstance(run.job, AdaptJob))
    return next((model for model in found if model.run is None), None)


def _of_job(run: RunSpec) -> Iterator[TextPair]:
    job = run.job
    if isinstance(job, PretrainJob):
        for spec in job.evaluation.sets:
            yield TextPair(domain=spec.name, corpora=job.corpora, separator=job.training.separator, evaluated=spec)
    elif isinstance(job, AdaptJob):
        for spec in job.evaluation.sets:
            if spec.role == "base":
                yield _pair(job.target, job.training.separator, spec, own=False)
                if job.replay:
                    yield TextPair(
                        domain=spec.name, corpora=job.replay, separator=job.training.separator, evaluated=spec
                    )
            elif _is_of(spec, job.target):
                yield _pair(job.target, job.training.separator, spec, own=True)


def _pair(corpus: Corpus, separator: Separator, spec: EvalSet, *, own: bool) -> TextPair:
    return TextPair(domain=corpus.name, corpora=(corpus,), separator=separator, evaluated=spec, own=own)


def _is_of(spec: EvalSet, corpus: Corpus) -> bool:
    return {evaluated.name for evaluated in spec.corpora} == {corpus.name}


def _distinct(pairs: Sequence[TextPair]) -> tuple[TextPair, ...]:
    """Without those that differ in names and roles alone: jobs call one evaluation set by several roles."""
    unnamed = Tokenizer()
    return tuple({pair.pair_key(unnamed): pair for pair in reversed(pairs)}.values())[::-1]
