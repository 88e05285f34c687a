"""What the synthetic experiment consists of: corpora, sets, scheme and the specification of an adaptation."""

from __future__ import annotations

from collections.abc import Mapping

from engine.spec.run import AdaptJob, Corpus, EvalSet, Evaluation, Method, Model, RunSpec, Scheme, Tokenizer, Training
from tests.support import synthetic_law as law
from tests.support.synthetic_text import BASE, DOMAINS, VOCABULARY, WINDOW
from tests.support.synthetic_writer import make_spec

SET_TOKENS = 2_500
TRAINING = Training(lr=1e-3, sequence=WINDOW, batch_sequences=8)
SCHEME = Scheme(window=WINDOW)
CORPORA = {name: Corpus(name=name, source=f"installation:{name}") for name in (BASE, *DOMAINS)}
TOKENIZER = Tokenizer(train_on=(CORPORA[BASE],), vocab_size=len(VOCABULARY))
SETS = {
    name: EvalSet(name=name, role="base" if name == BASE else "target", corpora=(CORPORA[name],))
    for name in (BASE, *DOMAINS)
}


def adapt_spec(
    base_runs: Mapping[str, str], domain: str, size: str, ptpp: float, replay_ratio: float, method: Method
) -> RunSpec:
    job = AdaptJob(
        base=Model(run=base_runs[size], state=f"ptpp{ptpp:g}"),
        tokenizer=TOKENIZER,
        target=CORPORA[domain],
        replay=(CORPORA[BASE],),
        replay_ratio=replay_ratio,
        atpp=law.ATPP,
        method=method,
        training=TRAINING,
        evaluation=Evaluation(sets=(SETS[domain], SETS[BASE]), scheme=SCHEME),
    )
    labels = {
        "domain": domain,
        "replay_ratio": replay_ratio,
        "ptpp": ptpp,
        "size": size,
        "method": method.name,
        "rank": None if method.name == "full" else method.rank,
        "lr": TRAINING.lr,
        "seed": 0,
    }
    suffix = "" if method.name == "full" else f"-{method.name}{method.rank}"
    name = f"adapt-{domain}-r{replay_ratio:g}-p{ptpp:g}-{size}{suffix}"
    return make_spec(name, job, labels, (base_runs[size],))
