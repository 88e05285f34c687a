"""A study of many domains in two groups, several sizes and seeds, whose every number is known: for the scatter.

Losses, similarities, training tokens and newline shares follow from ``Truth``, a table of seeded numbers; runs are
written through true journals and shards. In it a group alone makes a correlation: domains of the near group resemble
the reference more and gain less, while within a group little is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.spec.run import (
    AdaptJob,
    Architecture,
    Corpus,
    EvalSet,
    Evaluation,
    Method,
    Model,
    PrepareJob,
    PretrainJob,
    Scheme,
    SimilarityJob,
    Tokenizer,
    Training,
)
from engine.spec.strict import content_key
from store.files import write_atomic, write_json
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.synthetic_text import CLASSES, TOKENIZER_ID, VOCABULARY, WINDOW, Losses, Text
from tests.support.synthetic_text import vocabulary_table as vocabulary
from tests.support.synthetic_writer import EPOCH, Clock, RunWriter, make_spec

NEAR, FAR = "wiki", "s2orc"
SIZES = {"s": 400_000, "m": 1_600_000}
SEEDS = (0, 1, 2)
PTPP, ATPP = 16.0, 4.0
SET_TOKENS = 600
SCHEME = Scheme(window=WINDOW)
SECOND = "bpe-second"
"""Another tokenizer, which makes half as many tokens of the same text."""
EXPERIMENT = "odyssey"


@dataclass(frozen=True)
class Truth:
    """What is true of ``n`` domains, half of them near: arrays [domains], changes [domains, sizes, seeds]."""

    n: int = 20
    seed: int = 4

    @property
    def domains(self) -> tuple[str, ...]:
        half = self.n // 2
        return (*(f"{NEAR}{i:02d}" for i in range(half)), *(f"{FAR}{i:02d}" for i in range(self.n - half)))

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(NEAR if domain.startswith(NEAR) else FAR for domain in self.domains)

    def numbers(self) -> Mapping[str, np.ndarray]:
        """``cosine`` (higher is closer), ``mmd2`` (a distance), ``train_tokens``, ``newlines``, ``delta``."""
        rng = np.random.default_rng(self.seed)
        near = np.array([group == NEAR for group in self.groups], dtype=float)
        cosine = 0.45 + 0.35 * near + rng.normal(0, 0.06, self.n)
        tokens = np.round(np.exp(rng.normal(12, 0.8, self.n)))
        newlines = rng.uniform(0.01, 0.08, self.n)
        domain = -0.9 + 0.6 * near + 0.15 * (np.log(tokens) - 12) - 1.5 * newlines + rng.normal(0, 0.12, self.n)
        by_size = np.array([0.0, 0.15])[None, :, None]
        seeds = rng.normal(0, 0.02, (self.n, len(SIZES), len(SEEDS)))
        return {
            "cosine": cosine,
            "mmd2": 0.4 * (1 - cosine) + rng.normal(0, 0.02, self.n) ** 2,
            "train_tokens": tokens,
            "newlines": newlines,
            "delta": domain[:, None, None] + by_size + seeds,
        }


@dataclass
class Author:
    """Writes the study of ``truth`` into a workspace, run by run."""

    workspace: Workspace
    truth: Truth
    tokenizer_id: str = TOKENIZER_ID
    clock: Clock = field(default_factory=Clock)
    runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = self.truth.numbers()
        self.suffix = "-second" if self.tokenizer_id == SECOND else ""
        self.corpora = {name: Corpus(name=name, source=f"texts/{name}") for name in ("base", *self.truth.domains)}
        self.texts = {
            name: make_text(name, self.numbers["newlines"][i], SET_TOKENS // (2 if self.suffix else 1), self.suffix)
            for i, name in enumerate(self.truth.domains)
        }
        self.asked = Tokenizer(train_on=(self.corpora["base"],), vocab_size=500 + 500 * bool(self.suffix))
        self.bases: dict[tuple[str, int], str] = {}

    def write(self, sizes: Sequence[str] = tuple(SIZES), seeds: Sequence[int] = SEEDS) -> None:
        """The texts, the bases, every adaptation, the similarities."""
        self.prepare()
        for size in sizes:
            for seed in seeds:
                self.pretrain(size, seed)
                for domain in self.truth.domains:
                    self.adapt(domain, size, seed)
        if not self.suffix:
            self.similarity()

    def newline_share(self, domain: str) -> float:
        """Share of newlines among the predicted tokens of a text."""
        text = self.texts[domain]
        return float((CLASSES[text.tokens] == "newline")[predicted(text)].mean())

    def prepare(self) -> None:
        job = PrepareJob(corpora=tuple(self.corpora.values()), tokenizer=self.asked)
        run = self._writer(f"prepare{self.suffix}", job, {})
        run.start(1, "corpora")
        for name, corpus in self.corpora.items():
            run.emit(
                "corpus",
                corpus_key=corpus.key(),
                name=name,
                source=corpus.source,
                fingerprint=corpus.key(16),
                n_documents=10,
                n_groups=10,
                bytes={"train": 1000},
                tokens={"train": self.tokens(name)} if name != "base" else {},
                duplicates=0,
            )
        table = vocabulary().set_column(0, "tokenizer_id", pa.array([self.tokenizer_id] * len(VOCABULARY)))
        run.emit(
            "tokenizer",
            tokenizer_id=self.tokenizer_id,
            vocab_size=len(VOCABULARY),
            source=f"trained on base{self.suffix}",
            shard=run.shard("vocabulary", table),
        )
        for name, text in self.texts.items():
            run.emit(
                "eval_set",
                eval_set_id=text.eval_set_id,
                name=name,
                role="target",
                tokenizer_id=self.tokenizer_id,
                split="test",
                n_tokens=len(text.tokens),
                n_bytes=self.n_bytes,
                n_documents=text.n_documents,
                fingerprint=f"text-{name}",
                shard=run.shard("eval_set", text.table()),
            )
        run.end("done", seconds=1)

    def pretrain(self, size: str, seed: int) -> None:
        job = PretrainJob(
            size=size,
            architecture=Architecture(n_layer=2, n_embd=64, n_head=2, context=WINDOW),
            tokenizer=self.asked,
            corpora=(self.corpora["base"],),
            ptpp=(PTPP,),
            training=Training(lr=1e-3, sequence=WINDOW),
            evaluation=Evaluation(
                sets=(EvalSet(name="base", role="base", corpora=(self.corpora["base"],)),), scheme=SCHEME
            ),
        )
        name = f"pretrain-{size}{self.suffix}-seed{seed}"
        run = self._writer(name, job, {"size": size, "seed": seed}, seed)
        self.bases[size, seed] = run.run_id
        run.start(1, "tokens")
        run.emit("model", **self._state(run.run_id, "ptpp16", size), tokens_seen=int(SIZES[size] * PTPP))
        self._evaluate(run, "ptpp16", {domain: 3.0 for domain in self.truth.domains})
        run.end("done", seconds=1)

    def adapt(
        self,
        domain: str,
        size: str,
        seed: int,
        *,
        delta: float | None = None,
        training: Training | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> str:
        """An adapted state scored on its domain; ``delta``: another ΔL than the truth's."""
        at = self.truth.domains.index(domain), list(SIZES).index(size), seed
        change = float(self.numbers["delta"][at]) if delta is None else delta
        job = AdaptJob(
            base=Model(run=self.bases[size, seed], state="ptpp16"),
            tokenizer=self.asked,
            target=self.corpora[domain],
            replay=(),
            replay_ratio=0.0,
            atpp=(ATPP,),
            method=Method(),
            training=training or Training(lr=1e-4, sequence=WINDOW),
            evaluation=Evaluation(
                sets=(EvalSet(name=domain, role="target", corpora=(self.corpora[domain],)),), scheme=SCHEME
            ),
        )
        own = {"domain": domain, "replay_ratio": 0.0, "ptpp": PTPP, "size": size, "method": "full", "rank": None}
        own |= {"lr": job.training.lr, "seed": seed, **(labels or {})}
        extra = "".join(f"-{value}" for value in (labels or {}).values())
        run = self._writer(f"adapt-{domain}-{size}{self.suffix}{extra}-seed{seed}", job, own, seed)
        run.start(1, "tokens")
        tokens = int(SIZES[size] * ATPP)
        run.emit(
            "mixture",
            replay_requested=0.0,
            replay_realised=0.0,
            sequences=tokens // WINDOW,
            target_tokens=tokens,
            replay_tokens=0,
            target_epochs=tokens / self.tokens(domain),
            replay_epochs=0.0,
        )
        run.emit(
            "model",
            **self._state(run.run_id, "atpp4", size),
            parent=f"{self.bases[size, seed]}@ptpp16",
            atpp=ATPP,
            adapt_tokens=tokens,
            replay_ratio=0.0,
            domain=domain,
            method="full",
        )
        self._evaluate(run, "atpp4", {domain: 3.0 + change})
        run.end("done", seconds=1)
        return run.run_id

    def similarity(self, domains: Sequence[str] | None = None) -> None:
        """Two measures of every domain, with intervals."""
        chosen = self.truth.domains if domains is None else domains
        job = SimilarityJob(
            reference=(self.corpora["base"],),
            domains=tuple(self.corpora[domain] for domain in chosen),
            tokenizer=self.asked,
            measures=("cosine", "mmd2"),
            embedders=("ngrams",),
        )
        run = self._writer("similarity", job, {})
        run.start(1, "comparisons")
        for measure, closer in (("cosine", True), ("mmd2", False)):
            for domain in chosen:
                value = float(self.numbers[measure][self.truth.domains.index(domain)])
                run.emit(
                    "similarity",
                    domain=domain,
                    reference="base",
                    measure=measure,
                    embedder="ngrams",
                    encoder="hashed n-grams",
                    value=value,
                    low=value - 0.02,
                    high=value + 0.03,
                    n_samples=128,
                    seed=0,
                    higher_is_closer=closer,
                )
        run.end("done", seconds=1)

    def launch(
        self, groups: Mapping[str, Sequence[str]] | None, name: str = EXPERIMENT, launched: float = EPOCH
    ) -> None:
        """The record of an experiment, with the groups its file names."""
        document = self.workspace.experiments / f"{name}-0000.yaml"
        lines = [f"name: {name}"]
        if groups is not None:
            lines += ["groups:", *(f"  {group}: [{', '.join(names)}]" for group, names in groups.items())]
        write_atomic(document, "\n".join(lines) + "\n")
        record = {"name": name, "key": "0000", "launched": launched, "runs": self.runs}
        write_json(document.with_suffix(".json"), record)

    def tokens(self, domain: str) -> float:
        """Of the domain's train split."""
        if domain == "base":
            return 1e6
        return float(self.numbers["train_tokens"][self.truth.domains.index(domain)])

    @property
    def n_bytes(self) -> int:
        """Of every text, whatever the tokenizer."""
        return 4 * SET_TOKENS

    def _state(self, run_id: str, state: str, size: str) -> dict[str, Any]:
        facts = {"model_id": f"{run_id}@{state}", "run_id": run_id, "n_params": SIZES[size], "ptpp": PTPP}
        return {**facts, "tokenizer_id": self.tokenizer_id}

    def _writer(self, name: str, job: Any, labels: Mapping[str, Any], seed: int = 0) -> RunWriter:
        spec = make_spec(name, job, labels).model_copy(update={"experiment": EXPERIMENT, "seed": seed})
        self.runs.append(spec.run_id)
        return RunWriter(self.workspace, spec, self.clock)

    def _evaluate(self, run: RunWriter, state: str, losses: Mapping[str, float]) -> None:
        scheme, tables, events = SCHEME.content(), [], []
        for domain, mean in losses.items():
            text = self.texts[domain]
            model_id = f"{run.run_id}@{state}"
            evaluation_id = content_key([model_id, text.eval_set_id, scheme])
            values = Losses(np.where(predicted(text), mean, np.nan).astype(np.float32))
            tables.append(values.table(evaluation_id))
            events.append(
                {
                    "evaluation_id": evaluation_id,
                    "model_id": model_id,
                    "eval_set_id": text.eval_set_id,
                    "role": "target",
                    "scheme": scheme,
                    "predicted": values.predicted,
                    "sum_loss": mean * values.predicted,
                    "n_bytes": self.n_bytes,
                    "seconds": 0.1,
                }
            )
        shard = run.shard("token_losses", pa.concat_tables(tables))
        for event in events:
            run.emit("evaluation", **event, shard=shard)


def make_text(name: str, newlines: float, n_tokens: int, suffix: str) -> Text:
    """Words with about this share of newlines, in ten documents."""
    rng = np.random.default_rng([9, *name.encode()])
    tokens = rng.integers(20, len(VOCABULARY) - 1, n_tokens)
    tokens[rng.random(n_tokens) < newlines] = 0
    return Text(f"set-{name}{suffix}", name, "target", tokens, np.arange(n_tokens) * 10 // n_tokens)


def predicted(text: Text) -> np.ndarray:
    """All but the first token of every window."""
    mask = np.ones(len(text.tokens), dtype=bool)
    mask[::WINDOW] = False
    return mask


def similarity_workspace(
    path: str | Path,
    truth: Truth | None = None,
    *,
    sizes: Sequence[str] = tuple(SIZES),
    seeds: Sequence[int] = SEEDS,
    grouped: bool = True,
    second_tokenizer: bool = False,
) -> Workspace:
    """The whole study, ingested. ``second_tokenizer``: the first size again, with another tokenizer."""
    workspace = Workspace.create(path)
    truth = truth or Truth()
    author = Author(workspace, truth)
    author.write(sizes, seeds)
    if second_tokenizer:
        Author(workspace, truth, SECOND, author.clock).write(sizes[:1], seeds)
    members = {
        group: [d for d, g in zip(truth.domains, truth.groups, strict=True) if g == group] for group in (NEAR, FAR)
    }
    author.launch(members if grouped else None)
    ingest(workspace)
    return workspace
