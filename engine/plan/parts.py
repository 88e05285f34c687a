"""Parts that several runs of an experiment share, resolved: tokenizer, evaluation sets and scheme, base shapes."""

from __future__ import annotations

from functools import cached_property

from engine.plan.bases import BaseFacts
from engine.plan.cells import Cell
from engine.plan.cost import count_parameters, count_vocabulary
from engine.plan.ladders import tokens_seen
from engine.plan.shape import Shape, shape_of, shape_of_base
from engine.spec.experiment import Experiment, PretrainedBase
from engine.spec.run import Architecture, Corpus, EvalSet, Evaluation, Join, Model, Scheme, Tokenizer

DEFAULT_WINDOW = 1024
BASE_SET = "base"


class Parts:
    """Everything that follows from the experiment and what is known of its base and tokenizer, whatever the run."""

    def __init__(self, experiment: Experiment, facts: BaseFacts | None = None, vocabulary: int | None = None) -> None:
        self._experiment = experiment
        self._facts = facts or BaseFacts()
        self._vocabulary = vocabulary

    def corpora(self, names: tuple[str, ...]) -> tuple[Corpus, ...]:
        return tuple(self._experiment.corpora[name] for name in names)

    @cached_property
    def base_corpora(self) -> tuple[Corpus, ...]:
        return self.corpora(self._experiment.base.corpora)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The chosen one; else an existing base's own, or one trained on the base's corpora."""
        chosen, base = self._experiment.tokenizer, self._experiment.base
        if chosen.model:
            return Tokenizer(model=chosen.model, revision=chosen.revision)
        if not isinstance(base, PretrainedBase):
            return Tokenizer(model=base.model, revision=base.revision)
        trained_on = self.corpora(chosen.train_on or base.corpora)
        return Tokenizer(train_on=trained_on, vocab_size=chosen.vocab_size, train_bytes=chosen.train_bytes)

    @property
    def context(self) -> int:
        """Context of the base; of an existing one at most 1,024, so that losses of most models can be compared."""
        base = self._experiment.base
        if isinstance(base, PretrainedBase):
            return base.context
        return min(self._facts.context or DEFAULT_WINDOW, DEFAULT_WINDOW)

    @cached_property
    def scheme(self) -> Scheme:
        chosen = self._experiment.evaluate
        return Scheme(
            kind=chosen.scheme,
            window=chosen.window or self.context,
            stride=chosen.stride,
            bos=chosen.bos,
            precision=chosen.precision,
        )

    @cached_property
    def base_sets(self) -> tuple[EvalSet, ...]:
        """The base corpora together, as one set; none for a base without corpora."""
        return (self._set(BASE_SET, "base", self.base_corpora, self._joins[0]),) if self.base_corpora else ()

    def domain_sets(self, names: tuple[str, ...], role: str) -> tuple[EvalSet, ...]:
        """The sets of each domain: the same for every run, whatever the role; only the first join has that role."""
        first, *further = self._joins
        own = [self._set(name, role, self.corpora((name,)), first) for name in names]
        return (
            *own,
            *(self._set(f"{name}+{join}", "other", self.corpora((name,)), join) for name in names for join in further),
        )

    @property
    def _joins(self) -> tuple[Join, ...]:
        return self._experiment.evaluate.join

    def _set(self, name: str, role: str, corpora: tuple[Corpus, ...], join: Join) -> EvalSet:
        chosen = self._experiment.evaluate
        return EvalSet(
            name=name,
            role=role,
            corpora=corpora,
            split=chosen.split,
            max_tokens=chosen.max_tokens,
            max_bytes=chosen.max_bytes,
            join=join,
        )

    def trained_on(self, cell: Cell) -> Corpus:
        """The domain's corpus as a cell's training reads it."""
        return self._experiment.corpora[cell.domain].model_copy(update={"newlines": cell.newlines})

    def evaluation(self, sets: tuple[EvalSet, ...]) -> Evaluation:
        return Evaluation(sets=sets, scheme=self.scheme, batch_tokens=self._experiment.evaluate.batch_tokens)

    def architecture(self, size: str) -> Architecture:
        base = self._experiment.base
        shape = base.sizes[size]
        return Architecture(
            family=base.family,
            n_layer=shape.n_layer,
            n_embd=shape.n_embd,
            n_head=shape.n_head,
            context=base.context,
        )

    def n_params(self, size: str | None) -> int:
        """N of a size, or of the existing base; 0 where it could not be looked up."""
        if size is None:
            return self._facts.n_params or 0
        return count_parameters(self.architecture(size), self.vocabulary)

    def shape(self, size: str | None) -> Shape | None:
        """The dimensions of a size, or of the existing base; None where they could not be looked up."""
        return shape_of_base(self._facts) if size is None else shape_of(self.architecture(size), self.vocabulary)

    @cached_property
    def vocabulary(self) -> int:
        """Tokens of the tokenizer: as it is, or as it was asked for."""
        return self._vocabulary or count_vocabulary(self.tokenizer)

    def existing_model(self) -> Model:
        """An existing base."""
        base = self._experiment.base
        return Model(
            source=base.model,
            revision=base.revision,
            tokens_seen=base.tokens_seen if base.tokens_seen is not None else tokens_seen(base.model, base.revision),
            trust_remote_code=base.trust_remote_code,
            allow_pickle=base.allow_pickle,
        )

    @property
    def base_label(self) -> str:
        """An existing base in a word: ``pythia-70m-step8000``."""
        base = self._experiment.base
        revision = f"-{base.revision}" if base.revision else ""
        return f"{base.model.rstrip('/').rpartition('/')[2]}{revision}"
