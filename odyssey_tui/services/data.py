"""The texts of a workspace: corpora that are trained on and evaluation sets that are scored, with their audits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.audit import Audit
from odyssey_tui.services.audit_sources import list_cached, with_measured
from odyssey_tui.services.filter import Filter, parse_filter
from store.errors import DataError
from store.names import suggest

if TYPE_CHECKING:
    from engine.spec.run import Corpus
    from store.queries.corpora import CorpusRow, EvalSetRow
    from store.queries.similarity import Similarity
    from store.workspace import Workspace

FIELDS: Mapping[str, type] = {
    "name": str,
    "kind": str,
    "source": str,
    "experiment": str,
    "newlines": str,
    "audit": str,
    "warnings": float,
    "documents": float,
    "bytes": float,
    "tokens": float,
    "newline": float,
    "duplicates": float,
    "similarity": float,
}
"""What a filter of the texts may name; ``newline`` are line ends in 1,000 characters."""
MEASURES = ("cosine", "jsd", "mmd2", "c2st", "frechet", "l2", "ngram_overlap")
"""Of several measures of similarity the first there is."""


@dataclass(frozen=True)
class TextRow:
    """A corpus, or an evaluation set; None where something is not known (yet).

    ``tokens`` are those of a corpus's train split, or of the set; ``splits`` bytes by split.
    """

    key: str
    kind: str
    """``corpus`` or ``set``."""
    name: str
    source: str
    documents: int | None
    n_bytes: int | None
    tokens: int | None
    splits: Mapping[str, int]
    newlines: str | None
    """``keep`` or ``strip``, of a corpus's training text."""
    newlines_per_1000: float | None
    classes: Mapping[str, float]
    """Share of the tokens by class."""
    duplicates: int | None
    level: str | None
    """Of the worst finding of its audits; None where there is no audit."""
    n_warnings: int
    similarity: float | None
    measure: str
    experiments: tuple[str, ...]
    tokenizer: str | None = None

    @property
    def title(self) -> str:
        """The name, and what it is otherwise than others of that name."""
        return f"{self.name} (stripped)" if self.newlines == "strip" else self.name

    @property
    def audit(self) -> str:
        """Its level as a word: ``none`` without an audit, ``ok`` without a finding."""
        return "none" if self.level is None else self.level or "ok"

    def record(self) -> dict[str, Any]:
        """The row as a filter, JSON and CSV see it."""
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "source": self.source,
            "documents": self.documents,
            "bytes": self.n_bytes,
            "tokens": self.tokens,
            **{f"{split}_bytes": self.splits.get(split) for split in ("train", "valid", "test")},
            "newlines": self.newlines,
            "newline": self.newlines_per_1000,
            "duplicates": self.duplicates,
            "audit": self.audit,
            "warnings": self.n_warnings if self.level is not None else None,
            "similarity": self.similarity,
            "measure": self.measure or None,
            "experiment": ", ".join(self.experiments),
            "tokenizer": self.tokenizer,
            "key": self.key,
            "classes": dict(self.classes),
        }


@dataclass(frozen=True)
class _Known:
    """What the database holds, beside the rows themselves."""

    audits: Sequence[Audit]
    similarities: Sequence[Similarity]
    specs: Mapping[str, Corpus] = field(default_factory=dict)
    experiments: Mapping[str, set[str]] = field(default_factory=dict)
    """By corpus."""


def parse(text: str) -> Filter:
    """A filter over texts. Raises FilterError."""
    return parse_filter(text, FIELDS)


def list_texts(workspace: Workspace) -> list[TextRow]:
    """Corpora by name, then evaluation sets by name."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries.audits import list_audits
    from store.queries.corpora import list_corpora, list_eval_sets, list_preparations
    from store.queries.similarity import similarities

    ingest(workspace)
    with lease(workspace) as con:
        corpora, sets = list_corpora(con), list_eval_sets(con)
        audits = _with_cached(workspace, list_audits(con))
        measured = similarities(con)
        prepared = list_preparations(con)
    specs, experiments = _prepared(workspace, prepared)
    known = _Known(audits, measured, specs, experiments)
    return [*(_corpus(row, known) for row in corpora), *(_set(row, known) for row in sets)]


def read_audits(workspace: Workspace, name: str) -> list[Audit]:
    """The audits of a corpus or evaluation set, its own texts first, with what was measured here.

    ``DataError`` where no text is called so (with the nearest name), or where it has no audit.
    """
    from store.database import lease
    from store.ingest import ingest
    from store.queries.audits import list_audits
    from store.queries.corpora import list_corpora, list_eval_sets

    ingest(workspace)
    with lease(workspace) as con:
        keys = {row.corpus_key for row in list_corpora(con) if row.name == name}
        names = {row.name for row in (*list_corpora(con), *list_eval_sets(con))}
        found = _with_cached(workspace, list_audits(con))
    chosen = [
        audit
        for audit in found
        if name in (audit.record["domain"], audit.record["eval_set"]) or keys & set(audit.record["corpus_keys"])
    ]
    if not chosen and name in names:
        raise DataError(
            f"{name!r} has no format audit: it was prepared before there were any, or is scored by nothing",
            "`odyssey audit CONFIG` makes one of an experiment's texts.",
        )
    if not chosen:
        listed = f"There are {', '.join(sorted(names))}." if names else "Nothing has been prepared yet."
        raise DataError(f"no corpus or evaluation set is called {name!r}", suggest(name, names, listed))
    return with_measured(workspace, sorted(chosen, key=lambda audit: not audit.own))


def _with_cached(workspace: Workspace, recorded: Sequence[Mapping[str, Any]]) -> list[Audit]:
    """What runs recorded, and what was audited before any did."""
    known = {record["audit_id"] for record in recorded}
    cached = [audit for audit in list_cached(workspace) if audit.record["audit_id"] not in known]
    return [*map(Audit.of, recorded), *cached]


def _prepared(
    workspace: Workspace, prepared: Sequence[tuple[str, str, str]]
) -> tuple[dict[str, Corpus], dict[str, set[str]]]:
    """Every corpus that was prepared, by its key, and the experiments that had it prepared."""
    from engine.launch.experiments import Wanting
    from engine.spec.run import Corpus

    wanting = Wanting(workspace)
    specs: dict[str, Corpus] = {}
    experiments: dict[str, set[str]] = {}
    for run_id, first, spec in prepared:
        for content in _corpora_of(json.loads(spec)["job"]):
            corpus = Corpus.model_validate(content)
            key = corpus.key()
            specs[key] = corpus
            experiments.setdefault(key, set()).update(wanting.names(run_id) or {first} - {""})
    return specs, experiments


def _corpora_of(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from job["corpora"]
    yield from job["tokenizer"].get("train_on", ())
    for chosen in job.get("sets", ()):
        yield from chosen["corpora"]


def _corpus(row: CorpusRow, known: _Known) -> TextRow:
    audits = [audit for audit in known.audits if row.corpus_key in audit.record["corpus_keys"]]
    alone = next((audit for audit in audits if len(audit.record["corpus_keys"]) == 1), None)
    spec = known.specs.get(row.corpus_key)
    similarity = _similarity(row.name, known.similarities)
    return TextRow(
        key=row.corpus_key,
        kind="corpus",
        name=row.name,
        source=row.source,
        documents=row.n_documents,
        n_bytes=sum(row.bytes.values()) if row.bytes else None,
        tokens=row.tokens.get("train"),
        splits=row.bytes,
        newlines=spec.newlines if spec is not None else None,
        newlines_per_1000=alone.text("train")["newlines_per_1000"] if alone is not None else None,
        classes={share.token_class: share.train_share for share in alone.classes} if alone is not None else {},
        duplicates=row.duplicates,
        **_judge(audits),
        similarity=similarity.value if similarity is not None else None,
        measure=f"{similarity.measure}, {similarity.embedder}" if similarity is not None else "",
        experiments=tuple(sorted(known.experiments.get(row.corpus_key, ()))),
    )


def _set(row: EvalSetRow, known: _Known) -> TextRow:
    audits = [audit for audit in known.audits if audit.record["eval_set_id"] == row.eval_set_id]
    one = audits[0] if audits else None
    corpora = "" if row.corpora == [row.name] else f" of {', '.join(row.corpora)}"
    return TextRow(
        key=row.eval_set_id,
        kind="set",
        name=row.name,
        source=f"{row.split or '?'}{corpora}",
        documents=row.n_documents,
        n_bytes=row.n_bytes,
        tokens=row.n_tokens,
        splits={row.split: row.n_bytes or 0} if row.split else {},
        newlines=None,
        newlines_per_1000=one.text("evaluation")["newlines_per_1000"] if one is not None else None,
        classes={share.token_class: share.evaluation_share for share in one.classes} if one is not None else {},
        duplicates=None,
        **_judge([audit for audit in audits if audit.own]),
        similarity=None,
        measure="",
        experiments=tuple(row.experiments),
        tokenizer=row.tokenizer,
    )


def _judge(audits: Sequence[Audit]) -> dict[str, Any]:
    """Level and number of warnings over several audits."""
    from odyssey_tui.services.audit import LEVELS

    levels = [audit.level for audit in audits if audit.level]
    return {
        "level": min(levels, key=LEVELS.index) if levels else "" if audits else None,
        "n_warnings": sum(len(audit.warnings) for audit in audits),
    }


def _similarity(name: str, found: Sequence[Similarity]) -> Similarity | None:
    of_domain = [one for one in found if one.domain == name]
    known = [measure for measure in MEASURES if any(one.measure == measure for one in of_domain)]
    return next((one for one in of_domain if one.measure == known[0]), None) if known else None
