"""What a run says of the tokenizer and the evaluation texts it used: events, and the shards they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.data.eval_sets import TokenisedEvalSet
    from engine.data.tokenizer import LoadedTokenizer
    from engine.report import Report
    from engine.spec.run import EvalSet


def record_tokenizer(tokenizer: LoadedTokenizer, report: Report) -> None:
    """Emit the ``tokenizer`` event with the vocabulary."""
    report.emit(
        "tokenizer",
        tokenizer_id=tokenizer.tokenizer_id,
        vocab_size=tokenizer.vocab_size,
        source=tokenizer.source,
        shard=report.shard("vocabulary", tokenizer.vocabulary()),
    )


def record_eval_set(spec: EvalSet, tokenised: TokenisedEvalSet, tokenizer: LoadedTokenizer, report: Report) -> None:
    """Emit the ``eval_set`` event with the set's tokens and documents."""
    report.emit(
        "eval_set",
        eval_set_id=tokenised.eval_set_id,
        name=spec.name,
        role=spec.role,
        tokenizer_id=tokenizer.tokenizer_id,
        split=spec.split,
        n_tokens=len(tokenised.tokens),
        n_bytes=tokenised.n_bytes,
        n_documents=tokenised.n_documents,
        fingerprint=tokenised.fingerprint,
        shard=report.shard("eval_set", tokenised.table()),
        documents_shard=report.shard("documents", tokenised.documents_table()),
    )
