"""A format audit in a process of its own: ``python -m engine.audit.standalone``, which answers an ``Auditing``."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.audit.cache import cache_audit
from engine.audit.files import Texts, read_files
from engine.speaker import Say, serve
from engine.spec.auditing import Auditing
from store.errors import DataError, WorkspaceError
from store.files import read_json
from store.workspace import Workspace

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.spec.run import Model, Tokenizer

FACTS = "odyssey.json"
"""Beside the weights of every saved state."""
MEMORY_HINT = "Lower --max-bytes."


def audit(asked: Auditing, say: Say) -> dict[str, Any]:
    """The audits of what is asked for, under ``audits``, and the seconds they took.

    Raises OdysseyError for whatever is wrong with texts or tokenizer.
    """
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        scratch = Workspace(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="odyssey-"))))
        audits = _audit_pairs(asked, scratch, say) if asked.pairs else [_audit_files(asked, scratch, say)]
    return {"audits": audits, "seconds": round(time.perf_counter() - started, 3)}


def _audit_pairs(asked: Auditing, scratch: Workspace, say: Say) -> list[dict[str, Any]]:
    from engine.audit.texts import TextAuditor
    from engine.data.tokenizer import load_tokenizer

    assert asked.tokenizer is not None
    workspace = Workspace(Path(asked.workspace)) if asked.workspace else scratch
    say("tokenizer", 0, len(asked.pairs))
    tokenizer = load_tokenizer(asked.tokenizer, workspace)
    foreign = explain_foreign(tokenizer, asked.model, scratch) if asked.model else ""
    auditor = TextAuditor(tokenizer, asked.tokenizer, workspace, asked.max_bytes, foreign)
    audits = []
    for number, pair in enumerate(asked.pairs):
        say(f"{pair.domain} and {pair.evaluated.name}", number, len(asked.pairs))
        audits.append(auditor.audit(pair))
        if asked.workspace:
            with contextlib.suppress(WorkspaceError):  # only others lose it: this process has it
                cache_audit(workspace, audits[-1])
    return audits


def _audit_files(asked: Auditing, scratch: Workspace, say: Say) -> dict[str, Any]:
    from engine.audit.compare import describe
    from engine.audit.findings import Compared
    from engine.audit.scan import Scan

    say("reading the texts", 0, 0)
    train, evaluation = (read_files(names, asked.max_bytes) for names in (asked.train, asked.evaluation))
    base = read_files(asked.base, asked.max_bytes) if asked.base else None
    tokenizer, foreign = None, ""
    if asked.tokenizer is not None:
        from engine.data.tokenizer import load_tokenizer

        say("loading the tokenizer", 0, 0)
        tokenizer = load_tokenizer(asked.tokenizer, scratch)
        foreign = explain_saved(tokenizer, Path(str(asked.tokenizer.model)).expanduser())
    say("looking through the evaluation text", 0, 0)
    scored = Scan(keep=True).add_all(evaluation.documents)
    wanted = scored.wanted
    say("looking through the training text", 0, 0)
    trained = Scan(wanted=wanted).add_all(train.documents)
    say("counting tokens", 0, 0)
    compared = Compared(
        train=trained.facts(),
        evaluation=scored.facts(),
        overlap=scored.overlap(trained, wanted),
        train_reading=train.reading,
        evaluation_reading=evaluation.reading,
        foreign_tokenizer=foreign,
        **_count(tokenizer, train, evaluation, base),
    )
    return {
        "train_files": list(asked.train),
        "evaluation_files": list(asked.evaluation),
        "base_files": list(asked.base),
        "tokenizer": tokenizer.source if tokenizer is not None else None,
        "tokenizer_id": tokenizer.tokenizer_id if tokenizer is not None else None,
        **describe(compared),
    }


def _count(tokenizer: LoadedTokenizer | None, train: Texts, evaluation: Texts, base: Texts | None) -> dict[str, Any]:
    """The fields of ``Compared`` that depend on the tokenizer."""
    import numpy as np

    from engine.audit.pieces import count_pieces
    from engine.audit.tokens import TokenCounts

    if tokenizer is None:
        return {"tokens": TokenCounts.of_pieces(count_pieces(train.documents), count_pieces(evaluation.documents))}

    def counts(texts: Texts) -> np.ndarray:
        found = np.zeros(tokenizer.vocab_size, np.int64)
        for ids in tokenizer.encode(texts.documents):
            found += np.bincount(ids, minlength=len(found))
        return found

    from engine.audit.texts import describe_vocabulary

    classes = np.array(tokenizer.token_classes, dtype=object)
    reference = None
    if base is not None:
        reference = int(counts(base).sum()), sum(len(text.encode("utf-8", "replace")) for text in base.documents)
    return {
        "tokens": TokenCounts(tokenizer.token_bytes, classes, counts(train), counts(evaluation)),
        "vocabulary": describe_vocabulary(tokenizer),
        "reference": reference,
    }


def explain_saved(tokenizer: LoadedTokenizer, folder: Path) -> str:
    """Why the tokenizer in a saved state's folder is not the one that state was trained with; empty where it is."""
    try:
        trained_with = read_json(folder / FACTS).get("tokenizer_id")
    except (OSError, DataError):
        return ""
    if trained_with in (None, tokenizer.tokenizer_id):
        return ""
    return f"{folder} holds tokenizer {tokenizer.tokenizer_id}; its model was trained with {trained_with}"


def explain_foreign(tokenizer: LoadedTokenizer, model: Model, scratch: Workspace) -> str:
    """Why ``tokenizer`` is not the one that comes with ``model``; empty where it is, or where that has none here."""
    from engine.data.tokenizer import load_tokenizer
    from engine.spec.run import Tokenizer

    if model.source is None:
        return ""
    own: Tokenizer = Tokenizer(model=model.source, revision=model.revision)
    try:
        loaded = load_tokenizer(own, scratch)
    except DataError:
        return ""
    if loaded.tokenizer_id == tokenizer.tokenizer_id:
        return ""
    return f"it is {tokenizer.source} ({tokenizer.tokenizer_id}); {model.source} has {loaded.tokenizer_id}"


def main() -> None:
    """Audit what stdin asks for."""
    serve(lambda asked, say: audit(Auditing.model_validate_json(asked), say), memory_hint=MEMORY_HINT)


if __name__ == "__main__":
    main()
