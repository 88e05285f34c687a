"""Audits of an experiment's texts: snapshots as they are trained on, evaluation sets as they are scored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audit.compare import describe
from engine.audit.findings import Compared, Reading, Setting, TokenVocabulary
from engine.audit.scan import Scan
from engine.audit.tokens import TokenCounts
from engine.data.corpus import snapshot
from engine.data.eval_sets import join_lines, tokenise_eval_set
from engine.data.tokens import token_stream
from engine.spec.auditing import TextPair
from engine.spec.strict import content_key
from store.files import read_json

if TYPE_CHECKING:
    from engine.audit.scan import Overlap
    from engine.audit.shingles import Wanted
    from engine.data.eval_sets import TokenisedEvalSet
    from engine.data.tokenizer import LoadedTokenizer
    from engine.spec.run import Corpus, EvalSet, Separator, Tokenizer
    from store.workspace import Workspace

CHUNK_TOKENS = 1 << 22


class TextAuditor:
    """Audits pairs of texts with one tokenizer; a text that several pairs share is looked through once.

    Token counts are of everything that is trained on and scored; characters, lines and duplicates of ``max_bytes`` of
    each text at most. What is tokenised stays in the workspace's cache, as preparation leaves it.
    """

    def __init__(
        self,
        tokenizer: LoadedTokenizer,
        spec: Tokenizer,
        workspace: Workspace,
        max_bytes: int,
        foreign_tokenizer: str = "",
    ) -> None:
        self._tokenizer, self._spec, self._workspace = tokenizer, spec, workspace
        self._max_bytes, self._foreign = max_bytes, foreign_tokenizer
        self._classes = np.array(tokenizer.token_classes, dtype=object)
        self._vocabulary = describe_vocabulary(tokenizer)
        self._scored: dict[str, tuple[Scan, Wanted, Reading]] = {}
        self._trained: dict[tuple[Any, ...], tuple[Scan, Reading]] = {}
        self._overlaps: dict[tuple[Any, ...], Overlap] = {}
        self._reference: tuple[int, int] | None = None

    def audit(self, pair: TextPair) -> dict[str, Any]:
        """One pair, as ``compare.describe`` says, with what the pair is."""
        evaluated = tokenise_eval_set(pair.evaluated, self._tokenizer, self._workspace)
        snapshots = [snapshot(corpus, self._workspace) for corpus in pair.corpora]
        scored, wanted, scored_reading = self._scan_scored(pair.evaluated, evaluated)
        # However its lines are joined, an evaluation text has the same words.
        looked_for = content_key([evaluated_text(pair.evaluated)]) if pair.own else ""
        trained, trained_reading = self._scan_trained(pair.corpora, looked_for, wanted)
        overlap = None
        if pair.own:
            both = (*(corpus.key() for corpus in pair.corpora), looked_for)
            if both not in self._overlaps:
                self._overlaps[both] = scored.overlap(trained, wanted)
            overlap = self._overlaps[both]
        train_counts, n_bytes = self._count_trained(pair.corpora, pair.separator)
        if pair.own and pair.evaluated.role == "base":
            self._reference = int(train_counts.sum()), n_bytes
        compared = Compared(
            train=trained.facts(),
            evaluation=scored.facts(),
            tokens=TokenCounts(
                self._tokenizer.token_bytes,
                self._classes,
                train_counts,
                np.bincount(evaluated.tokens, minlength=self._tokenizer.vocab_size),
            ),
            overlap=overlap,
            setting=Setting(
                newlines="strip" if any(corpus.newlines == "strip" for corpus in pair.corpora) else "keep",
                join=pair.evaluated.join,
                separator=pair.separator,
                joined=any(taken.joined for taken in snapshots),
                own=pair.own,
            ),
            train_reading=trained_reading,
            evaluation_reading=scored_reading,
            vocabulary=self._vocabulary,
            reference=self._reference,
            foreign_tokenizer=self._foreign,
        )
        identity = [[taken.fingerprint for taken in snapshots], pair.separator, evaluated.eval_set_id, pair.own]
        return {
            "audit_id": content_key([*identity, self._tokenizer.tokenizer_id], 16),
            "pair_key": pair.pair_key(self._spec),
            "domain": pair.domain,
            "corpus_keys": [corpus.key() for corpus in pair.corpora],
            "own": pair.own,
            "newlines": compared.setting.newlines,
            "separator": pair.separator,
            "scored_join": pair.evaluated.join,
            "eval_set": pair.evaluated.name,
            "eval_set_id": evaluated.eval_set_id,
            "tokenizer_id": self._tokenizer.tokenizer_id,
            "tokenizer": self._tokenizer.source,
            **describe(compared),
        }

    def _count_trained(self, corpora: tuple[Corpus, ...], separator: Separator) -> tuple[np.ndarray, int]:
        counts, n_bytes = np.zeros(self._tokenizer.vocab_size, np.int64), 0
        for corpus in corpora:
            stream = token_stream(corpus, "train", self._tokenizer, self._workspace, separator)
            n_bytes += stream.n_bytes
            for start in range(0, len(stream), CHUNK_TOKENS):
                counts += np.bincount(stream.tokens[start : start + CHUNK_TOKENS], minlength=len(counts))
        return counts, n_bytes

    def _scan_scored(self, spec: EvalSet, evaluated: TokenisedEvalSet) -> tuple[Scan, Wanted, Reading]:
        key = evaluated.eval_set_id
        if key not in self._scored:
            documents, cut = _limited(self._scored_documents(spec, evaluated), self._max_bytes)
            scan = Scan(keep=True).add_all(documents)
            self._scored[key] = scan, scan.wanted, Reading(cut_at=self._max_bytes if cut else None)
        return self._scored[key]

    def _scan_trained(self, corpora: tuple[Corpus, ...], looked_for: str, wanted: Wanted) -> tuple[Scan, Reading]:
        """The scan of a training text, in which an evaluation set's 8-grams were looked for (none: '')."""
        keys = tuple(corpus.key() for corpus in corpora)
        if not looked_for:  # any scan of it will do
            known = next((found for (name, _), found in self._trained.items() if name == keys), None)
            if known is not None:
                return known
        if (keys, looked_for) not in self._trained:
            scan = Scan(wanted=wanted if looked_for else None)
            cut = False
            for corpus in corpora:
                texts = (document.text for document in snapshot(corpus, self._workspace).documents("train"))
                documents, cut_here = _limited(texts, self._max_bytes // len(corpora))
                scan.add_all(documents)
                cut = cut or cut_here
            self._trained[keys, looked_for] = scan, Reading(cut_at=self._max_bytes if cut else None)
        return self._trained[keys, looked_for]

    def _scored_documents(self, spec: EvalSet, evaluated: TokenisedEvalSet) -> Iterator[str]:
        """The documents of a set as they are scored: joined, and the last one cut where the set is."""
        texts = {
            (corpus.name, document.doc_id): document.text
            for corpus in spec.corpora
            for document in snapshot(corpus, self._workspace).documents(spec.split)
        }
        for name, doc_id, n_bytes in evaluated.documents:
            text = texts[name, doc_id]
            joined = join_lines(text) if spec.join == "space" else text
            yield joined.encode()[:n_bytes].decode(errors="ignore")


def evaluated_text(spec: EvalSet) -> dict[str, Any]:
    """What decides the words of an evaluation set."""
    return {**spec.essence(), "name": "", "role": "", "join": ""}


def describe_vocabulary(tokenizer: LoadedTokenizer) -> TokenVocabulary:
    """What the checks need to know of a tokenizer."""
    model = read_json(tokenizer.path / "tokenizer.json")["model"]
    unknown = model.get("unk_id")
    if unknown is None and model.get("unk_token"):
        unknown = tokenizer.fast.token_to_id(model["unk_token"])
    # Where the end of text stands for the unknown, too, training texts are full of it.
    known = None if unknown == tokenizer.eos_id else unknown
    return TokenVocabulary(tokenizer.token_bytes, known)


def _limited(texts: Iterator[str], max_bytes: int) -> tuple[list[str], bool]:
    """Texts up to ``max_bytes``, and whether there are more."""
    kept, held = [], 0
    for text in texts:
        kept.append(text)
        held += len(text.encode())
        if held >= max_bytes:
            return kept, next(itertools.islice(texts, 1), None) is not None
    return kept, False
