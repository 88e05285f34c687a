"""Format audits as preparation records them: one of text that lost its line ends, one of which all is well."""

from __future__ import annotations

from typing import Any

from engine.audit.compare import describe
from engine.audit.findings import Compared, Setting
from engine.audit.pieces import count_pieces
from engine.audit.scan import Scan
from engine.audit.tokens import TokenCounts
from engine.spec.auditing import TextPair
from engine.spec.run import Corpus, EvalSet, Tokenizer
from tests.support.audit_texts import make_documents, strip_lines
from tests.support.synthetic_text import TOKENIZER_ID

AUDITED = {"docs": "strip", "headers": "keep"}


def audit_record(corpus: Corpus, scored: EvalSet, tokenizer: Tokenizer) -> dict[str, Any]:
    """An audit of made-up text under the names of a corpus and its evaluation set."""
    newlines = AUDITED[corpus.name]
    train, evaluation = make_documents(1, 40), make_documents(2, 20)
    if newlines == "strip":
        train = [strip_lines(text) for text in train]
    looked_for = Scan(keep=True).add_all(evaluation)
    wanted = looked_for.wanted
    trained = Scan(wanted=wanted).add_all(train)
    compared = Compared(
        trained.facts(),
        looked_for.facts(),
        TokenCounts.of_pieces(count_pieces(train), count_pieces(evaluation)),
        looked_for.overlap(trained, wanted),
        Setting(newlines=newlines, join="newline", separator="eos"),
    )
    pair = TextPair(domain=corpus.name, corpora=(corpus,), evaluated=scored)
    return {
        "audit_id": f"audit-{corpus.name}",
        "pair_key": pair.pair_key(tokenizer),
        "domain": corpus.name,
        "corpus_keys": [corpus.key()],
        "own": True,
        "newlines": newlines,
        "separator": "eos",
        "scored_join": "newline",
        "eval_set": scored.name,
        "eval_set_id": f"set-{scored.name}",
        "tokenizer_id": TOKENIZER_ID,
        "tokenizer": "trained on base",
        **describe(compared),
    }
