"""Checks across an experiment's parts: names that refer to each other, axes within the base's, budgets that fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from engine.spec.adapters import caution_methods, check_methods
from engine.spec.cluster import check_cluster
from engine.spec.experiment import AdaptBlock, ExistingBase, Experiment, LawsChoice, PretrainedBase, SimilarityChoice
from engine.spec.located import KeyPath
from engine.spec.machine import caution_machine, check_resources, check_validation
from engine.spec.problems import Problem, nearest
from engine.spec.run import SENTENCE_MODEL
from engine.spec.training import check_from_scratch, check_shared, check_training


def check(experiment: Experiment, written: Any) -> list[Problem]:
    """Everything that makes the experiment impossible; ``written`` is the plain data, for exact paths."""
    found = [
        *_check_corpora(experiment, written),
        *_check_tokenizer(experiment),
        *_check_base(experiment),
        *_check_training(experiment),
        *check_resources(experiment),
        *check_cluster(experiment),
        *check_validation(experiment),
        *_check_evaluate(experiment),
        *_check_groups(experiment, written),
    ]
    for index, block in enumerate(experiment.adapt):
        found += _check_block(experiment, block, ("adapt", index), written)
    if experiment.similarity:
        found += _check_similarity(experiment, experiment.similarity)
    if experiment.laws:
        found += _check_laws(experiment, experiment.laws, written)
    return found


def cautions(experiment: Experiment) -> tuple[str, ...]:
    """What will run but may disappoint: shown with the plan."""
    found = []
    laws, base = experiment.laws, experiment.base
    if laws and isinstance(base, PretrainedBase):
        fitted, scored = law_ptpp(laws, base)
        if len(base.ptpp) < 2:
            found.append(
                "laws: one PTPP only, so the PTPP-aware forms reduce to their agnostic part and nothing is held out"
            )
        elif len(fitted) < 2:
            found.append(f"laws: fitted at one PTPP ({_list(fitted)}), so no form can learn how PTPP matters")
        if len(base.sizes) < 3:
            found.append(f"laws: {len(base.sizes)} model sizes; below three the size term is merged into the constant")
        if not scored and len(base.ptpp) >= 2:
            found.append("laws: no PTPP is held out, so nothing is scored")
    found += [*_caution_about_corpora(experiment), *_caution_about_tokens_seen(experiment)]
    found += [*caution_methods(experiment), *caution_machine(experiment)]
    similarity = experiment.similarity
    if similarity and "sentence" in similarity.embedders and find_spec("sentence_transformers") is None:
        found.append(
            "similarity: the embedder sentence needs sentence-transformers, which is not installed here "
            "(`pip install 'odyssey-tui[sentence]'`)"
        )
    if experiment.adapt and not base.corpora:
        found.append("base: no corpora, so forgetting is not measured")
    return tuple(found)


def _caution_about_corpora(experiment: Experiment) -> Iterator[str]:
    from engine.data.sources.registry import caution

    for name, corpus in experiment.corpora.items():
        if found := caution(corpus):
            yield f"corpora.{name}: {found}"


def _caution_about_tokens_seen(experiment: Experiment) -> Iterator[str]:
    from engine.plan.ladders import tokens_seen, unread_revision

    base = experiment.base
    if not isinstance(base, ExistingBase) or base.tokens_seen is not None:
        return
    if unread := unread_revision(base.model, base.revision):
        yield f"base: {unread}; its PTPP stays unknown unless base.tokens_seen is set"
    if experiment.laws and tokens_seen(base.model, base.revision) is None:
        yield "laws: the base's tokens seen are unknown, so the PTPP-aware forms refuse it; set base.tokens_seen"


def law_ptpp(laws: LawsChoice, base: PretrainedBase) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """PTPP values to fit on and to score at: as given, else all but the highest, and the highest."""
    ordered = tuple(sorted(base.ptpp))
    scored = laws.score_ptpp or (ordered[-1:] if len(ordered) > 1 and not laws.fit_ptpp else ())
    scored = scored or tuple(ptpp for ptpp in ordered if laws.fit_ptpp and ptpp not in laws.fit_ptpp)
    return laws.fit_ptpp or tuple(ptpp for ptpp in ordered if ptpp not in scored), scored


def _check_corpora(experiment: Experiment, written: Any) -> Iterator[Problem]:
    from engine.data.sources.registry import objection

    known = list(experiment.corpora)
    references: list[tuple[KeyPath, Sequence[str]]] = [
        (("tokenizer", "train_on"), experiment.tokenizer.train_on),
        (("base", "corpora"), experiment.base.corpora),
        *((("adapt", index, "domain"), block.domain) for index, block in enumerate(experiment.adapt)),
    ]
    if experiment.similarity and experiment.similarity.domains:
        references.append((("similarity", "domains"), experiment.similarity.domains))
    for path, names in references:
        yield from _unknown(names, known, path, written, "is no corpus of this experiment")
    for name, corpus in experiment.corpora.items():
        if found := objection(corpus):
            yield Problem(("corpora", name, "source"), f"= {corpus.source}: {found.reason}", found.advice)
        if corpus.name != name:
            yield Problem(("corpora", name, "name"), "is not a known key", "A corpus is named by its key.")
        if corpus.test_share + corpus.valid_share >= 1:
            yield Problem(
                ("corpora", name), "leaves nothing to train on", "test_share + valid_share must stay below 1."
            )


def _check_tokenizer(experiment: Experiment) -> Iterator[Problem]:
    tokenizer = experiment.tokenizer
    if tokenizer.model and tokenizer.train_on:
        yield Problem(
            ("tokenizer",),
            "has both model and train_on",
            "Keep one: a pretrained tokenizer, or corpora to train it on.",
        )
    if tokenizer.train_on and isinstance(experiment.base, ExistingBase):
        yield Problem(
            ("tokenizer", "train_on"), "cannot serve an existing base", "Leave tokenizer out: the base's own is used."
        )


def _check_base(experiment: Experiment) -> Iterator[Problem]:
    base = experiment.base
    if not isinstance(base, PretrainedBase):
        if experiment.adapt and experiment.adapt_training is None:
            yield Problem(
                ("adapt_training",),
                "is missing",
                "Adapting an existing base needs at least adapt_training: {lr: 5e-5}.",
            )
        return
    if not base.sizes:
        yield Problem(
            ("base", "sizes"), "is empty", "Name at least one size: {s: {n_layer: 2, n_embd: 64, n_head: 2}}."
        )
    for name, size in base.sizes.items():
        if size.n_embd % size.n_head:
            text = f"has n_embd {size.n_embd}, which {size.n_head} heads do not divide"
            yield Problem(("base", "sizes", name), text, "Make n_embd a multiple of n_head.")
    for path, training in (("base", "training"), base.training), (("adapt_training",), experiment.adapt_training):
        if training and training.sequence > base.context:
            text = f"is {training.sequence}, longer than base.context {base.context}"
            yield Problem((*path, "sequence"), text, "Shorten the sequence or raise the context.")
    if base.share:
        yield from check_shared(base.training, ("base", "training", "schedule"), len(base.ptpp), "base.ptpp")


def _check_training(experiment: Experiment) -> Iterator[Problem]:
    if isinstance(experiment.base, PretrainedBase):
        yield from check_training(experiment.base.training, ("base", "training"))
        yield from check_from_scratch(experiment.base.training, ("base", "training"))
    if experiment.adapt_training:
        yield from check_training(experiment.adapt_training, ("adapt_training",))


def _check_evaluate(experiment: Experiment) -> Iterator[Problem]:
    chosen, base = experiment.evaluate, experiment.base
    if isinstance(base, PretrainedBase) and chosen.window and chosen.window > base.context:
        text = f"is {chosen.window}, longer than base.context {base.context}"
        yield Problem(("evaluate", "window"), text, "Shorten the window or raise the context.")
    if chosen.scheme == "strided" and not chosen.stride:
        yield Problem(
            ("evaluate", "stride"), "is missing", "The strided scheme needs a stride, for example half the window."
        )
    if chosen.stride and chosen.scheme != "strided":
        yield Problem(
            ("evaluate", "stride"),
            f"has no meaning for the scheme {chosen.scheme}",
            "Use scheme: strided, or remove it.",
        )
    if chosen.max_tokens and chosen.max_bytes:
        yield Problem(("evaluate", "max_bytes"), "is given, and so is max_tokens", "Keep one of them.")
    if chosen.max_tokens and chosen.window and chosen.max_tokens < chosen.window:
        text = f"is {chosen.max_tokens}, less than one window of {chosen.window}"
        yield Problem(("evaluate", "max_tokens"), text, "Raise max_tokens or shorten the window.")


def _check_block(experiment: Experiment, block: AdaptBlock, path: KeyPath, written: Any) -> Iterator[Problem]:
    base = experiment.base
    training = experiment.training_of(block)
    if block.training:
        yield from _check_changes(experiment, block, path)
    if training and block.share:
        yield from check_shared(training, path, len(block.atpp or block.adapt_tokens), "its budget")
    if bool(block.atpp) == bool(block.adapt_tokens):
        text = "has both atpp and adapt_tokens" if block.atpp else "has no budget"
        yield Problem(
            path, text, "Give exactly one of atpp: [1, 2] (tokens per parameter) and adapt_tokens: [1000000]."
        )
    if experiment.evaluate.drift and block.keep == "none":
        yield Problem(
            (*path, "keep"),
            "is none, and evaluate.drift compares the weights of the last state",
            "Set keep: final or all, or leave evaluate.drift out.",
        )
    yield from check_methods(experiment, block, path)
    if any(block.replay_ratio) and not base.corpora:
        yield Problem(
            (*path, "replay_ratio"),
            "asks for replay, and base has no corpora",
            "Name the replay text under base.corpora.",
        )
    if isinstance(base, PretrainedBase):
        yield from _unknown(block.ptpp or (), base.ptpp, (*path, "ptpp"), written, "is not among base.ptpp")
        yield from _unknown(block.size or (), base.sizes, (*path, "size"), written, "is no size of the base")
        return
    for axis, values in ("ptpp", block.ptpp), ("size", block.size):
        if values:
            yield Problem((*path, axis), "has no meaning for an existing base", "Remove it.")


def _check_changes(experiment: Experiment, block: AdaptBlock, path: KeyPath) -> Iterator[Problem]:
    """What a block does otherwise than ``adapt_training``: it has a name, and makes sense as a whole."""
    base, here = experiment.base, (*path, "training")
    training = experiment.training_of(block)
    if not block.variant:
        yield Problem(here, "has no name to tell its runs apart by", "Add variant: …, like variant: kl-newline.")
    if training is None or block.training is None:
        return
    yield from check_training(training, here)
    if "lr" in block.training.model_fields_set and block.lr:
        yield Problem((*here, "lr"), "is given, and so is lr of the block", "Keep one of them.")
    if isinstance(base, PretrainedBase) and training.sequence > base.context:
        text = f"is {training.sequence}, longer than base.context {base.context}"
        yield Problem((*here, "sequence"), text, "Shorten the sequence or raise the context.")


def _check_groups(experiment: Experiment, written: Any) -> Iterator[Problem]:
    group_of: dict[str, str] = {}
    for group, names in experiment.groups.items():
        path: KeyPath = ("groups", group)
        yield from _unknown(names, list(experiment.corpora), path, written, "is no corpus of this experiment")
        for name in names:
            if (other := group_of.setdefault(name, group)) != group:
                yield Problem(path, f"holds {name}, which is in the group {other}, too", "A domain has one group.")


def _check_similarity(experiment: Experiment, chosen: SimilarityChoice) -> Iterator[Problem]:
    from engine.similarity.measures import REGISTRY

    path: KeyPath = ("similarity",)
    if not experiment.base.corpora:
        yield Problem(path, "needs base.corpora to compare with", "Name the corpora under base.corpora.")
    if not (chosen.domains or experiment.adapt):
        yield Problem(path, "has no domains", "Name them under similarity.domains, or adapt to some.")
    for name in chosen.measures:
        if name not in REGISTRY:
            yield Problem((*path, "measures"), f"= {name} is no measure of similarity", nearest(name, REGISTRY))
    if chosen.sentence_model != SENTENCE_MODEL and "sentence" not in chosen.embedders:
        yield Problem((*path, "sentence_model"), "has no embedder that would use it", "Add sentence to the embedders.")
    base = experiment.base
    if isinstance(base, PretrainedBase) and "model" in chosen.embedders and (chosen.sample_tokens or 0) > base.context:
        text = f"is {chosen.sample_tokens}, longer than base.context {base.context}"
        yield Problem((*path, "sample_tokens"), text, "Shorten the samples, or leave the embedder model out.")


def _check_laws(experiment: Experiment, laws: LawsChoice, written: Any) -> Iterator[Problem]:
    from engine.laws.errors import LawError
    from engine.laws.forms import REGISTRY, form_of

    adapted = experiment.domains
    own = [definition.name for definition in laws.definitions]
    for index, definition in enumerate(laws.definitions):
        path = ("laws", "definitions", index)
        try:
            form_of(definition)
        except LawError as error:
            yield Problem(path, f"({definition.name}) is no law: {error.message}", error.hint)
        if own.index(definition.name) < index:
            yield Problem(path, f"is called {definition.name}, as another one is", "Give it a name of its own.")
    for name in laws.forms:
        if name not in REGISTRY and name not in own:
            yield Problem(("laws", "forms"), f"= {name} is no law", nearest(name, [*REGISTRY, *own]))
    yield from _unknown(laws.domain, adapted, ("laws", "domain"), written, "is not adapted to in this experiment")
    if not isinstance(experiment.base, PretrainedBase):
        return
    for axis, values in ("fit_ptpp", laws.fit_ptpp), ("score_ptpp", laws.score_ptpp):
        yield from _unknown(values, experiment.base.ptpp, ("laws", axis), written, "is not among base.ptpp")
    if both := sorted(set(laws.fit_ptpp) & set(laws.score_ptpp)):
        text = f"holds {_list(both)}, which is also fitted on"
        yield Problem(
            ("laws", "score_ptpp"), text, "A score counts only where nothing was fitted; list each PTPP once."
        )


def _unknown(
    values: Sequence[object], known: Iterable[object], path: KeyPath, written: Any, complaint: str
) -> Iterator[Problem]:
    names = list(known)
    for index, value in enumerate(values):
        if value not in names:
            at = (*path, index) if isinstance(_value_at(written, path), list) else path
            advice = nearest(_plain(value), [_plain(name) for name in names])
            yield Problem(at, f"= {_plain(value)} {complaint}", advice)


def _value_at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else data[part]
    return data


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
