"""A workspace of many domains, seeds and repairs whose losses are known in closed form, written through true journals.

Base models of one size and PTPP, one per seed; every domain adapted to and scored on every text; ways to adapt to one.
A loss is ``zero_shot(text, seed)`` before, and after adaptation that plus a rise for newlines and one for all other
tokens, with noise that has no mean within either class: ΔL follows from the two rises and the share of newlines alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    Tokenizer,
    Training,
)
from engine.spec.strict import content_key
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.synthetic_text import CLASSES, TOKENIZER_ID, VOCABULARY, WINDOW, Losses, Text, make_text
from tests.support.synthetic_text import vocabulary_table as vocabulary
from tests.support.synthetic_writer import Clock, RunWriter, make_spec

DOMAINS = ("law", "novels", "web")
TEXTS = (*DOMAINS, "base")
N_PARAMS, PTPP, ATPP = 100_000, 16.0, 4.0
TOKENS = int(N_PARAMS * ATPP)
SET_TOKENS = 1_200
SCHEME = Scheme(window=WINDOW)
ZERO_SHOT = {"law": 3.0, "novels": 2.5, "web": 2.8, "base": 2.2}
"""Of seed 0; each further seed adds 0.1."""
EFFECTS = {
    "law": {"law": -1.0, "novels": 0.10, "web": 0.20, "base": 0.30},
    "novels": {"law": 0.40, "novels": 0.05, "web": -0.10, "base": 0.15},
    "web": {"law": -0.20, "novels": 0.02, "web": -0.50, "base": 0.08},
}
"""ΔL of the middle seed, by domain and text; seeds differ by ``SEED_STEP``."""
SEED_STEP = 0.02
SECOND = "bpe-second"
"""Another tokenizer, which makes half as many tokens of the same text."""


def zero_shot(text: str, seed: int = 0) -> float:
    """Nats per token of the base state."""
    return ZERO_SHOT[text] + 0.1 * seed


def effect(domain: str, text: str, seed: int = 1) -> float:
    """ΔL of a plain run."""
    return EFFECTS[domain][text] + SEED_STEP * (seed - 1)


@dataclass(frozen=True)
class Rise:
    """What adaptation adds to the losses of newlines and of everything else, nats."""

    newline: float
    rest: float


@dataclass(frozen=True)
class Way:
    """A way to adapt: what distinguishes the run from a plain one."""

    variant: str | None = None
    newlines: str = "keep"
    method: str = "full"
    rank: int = 8
    replay_ratio: float = 0.0
    lr: float = 1e-3
    anneal_share: float = 0.1
    """Something of a training that no label tells."""
    wise: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        parts = [f"r{self.replay_ratio:g}", f"lr{self.lr:g}"]
        parts += [] if self.method == "full" else [f"{self.method}{self.rank}"]
        parts += [] if self.newlines == "keep" else [f"nl-{self.newlines}"]
        return "-".join([*parts, *([self.variant] if self.variant else [])])


@dataclass
class Author:
    """Writes runs into a workspace; ``scored``: which other domains an adapted state is scored on."""

    workspace: Workspace
    tokenizer_id: str = TOKENIZER_ID
    experiment: str = "study"
    size: str = "s"
    scored: tuple[str, ...] = DOMAINS
    clock: Clock = field(default_factory=Clock)
    bases: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        halved = self.tokenizer_id == SECOND
        self.suffix = "-second" if halved else ""
        self.corpora = {name: Corpus(name=name, source=f"installation:{name}") for name in TEXTS}
        self.texts = {
            name: self._text(name, "base" if name == "base" else "other", SET_TOKENS // (2 if halved else 1))
            for name in TEXTS
        }
        self.asked = Tokenizer(train_on=(self.corpora["base"],), vocab_size=len(VOCABULARY) * (2 if halved else 1))

    def _text(self, name: str, role: str, n_tokens: int) -> Text:
        found = make_text(name, role, n_tokens, 1)
        return Text(f"set-{name}{self.suffix}", name, role, found.tokens, found.document)

    def n_bytes(self, name: str) -> int:
        """Bytes of a text: the same whatever the tokenizer."""
        return 4 * SET_TOKENS

    def newline_share(self, name: str) -> float:
        """Share of newlines among the predicted positions of a text."""
        return float((CLASSES[self.texts[name].tokens] == "newline")[_predicted(self.texts[name])].mean())

    def prepare(self) -> None:
        sets = tuple(self._set(name, self.texts[name].role) for name in TEXTS)
        job = PrepareJob(corpora=tuple(self.corpora.values()), tokenizer=self.asked, sets=sets)
        run = self._writer(f"prepare{self.suffix}", job, {})
        run.start(4, "corpora")
        run.emit(
            "tokenizer",
            tokenizer_id=self.tokenizer_id,
            vocab_size=len(VOCABULARY),
            source=f"trained on base{self.suffix}",
            shard=run.shard(
                "vocabulary",
                vocabulary().set_column(0, "tokenizer_id", pa.array([self.tokenizer_id] * len(VOCABULARY))),
            ),
        )
        for name, text in self.texts.items():
            run.emit(
                "eval_set",
                eval_set_id=text.eval_set_id,
                name=name,
                role=text.role,
                tokenizer_id=self.tokenizer_id,
                split="test",
                n_tokens=len(text.tokens),
                n_bytes=self.n_bytes(name),
                n_documents=text.n_documents,
                fingerprint=f"text-{name}",
                shard=run.shard("eval_set", text.table()),
            )
            run.shard("documents", text.documents_table())
        run.end("done", seconds=1)

    def pretrain(self, seed: int, n_params: int = N_PARAMS, lr: float = 1e-3) -> str:
        """A base state scored on every text."""
        job = PretrainJob(
            size=self.size,
            architecture=Architecture(n_layer=2, n_embd=64, n_head=2, context=WINDOW),
            tokenizer=self.asked,
            corpora=(self.corpora["base"],),
            ptpp=(PTPP,),
            training=Training(lr=lr, sequence=WINDOW),
            evaluation=Evaluation(sets=(self._set("base", "base"),), scheme=SCHEME),
        )
        run = self._writer(f"pretrain-{self.size}{self.suffix}-seed{seed}", job, {"size": self.size, "seed": seed})
        self.bases[seed] = run.run_id
        run.start(1, "tokens")
        self._curve(run)
        model_id = f"{run.run_id}@ptpp16"
        run.emit("model", **self._facts(run.run_id, model_id, n_params), tokens_seen=int(n_params * PTPP))
        before = {name: _flat(text, zero_shot(name, seed)) for name, text in self.texts.items()}
        self._evaluate(run, [(model_id, name, self.texts[name].role, losses) for name, losses in before.items()])
        run.end("done", seconds=1)
        return run.run_id

    def adapt(
        self,
        domain: str,
        seed: int,
        way: Way = Way(),
        rises: Mapping[str, Rise] | None = None,
        *,
        done: bool = True,
        n_params: int = N_PARAMS,
    ) -> str:
        """An adapted state scored on its domain, the base text and ``scored``; ``rises`` by text, else ``EFFECTS``.

        A run that is not ``done`` has no state yet.
        """
        others = tuple(name for name in self.scored if name != domain)
        sets = [("base", "base"), (domain, "target"), *((name, "other") for name in others)]
        job = AdaptJob(
            base=Model(run=self.bases[seed], state="ptpp16"),
            tokenizer=self.asked,
            target=self.corpora[domain],
            replay=(),
            replay_ratio=way.replay_ratio,
            atpp=(ATPP,),
            method=Method(name=way.method, rank=way.rank),
            training=Training(lr=way.lr, sequence=WINDOW, anneal_share=way.anneal_share),
            evaluation=Evaluation(sets=tuple(self._set(name, role) for name, role in sets), scheme=SCHEME),
            wise_ft=way.wise,
        )
        labels = {
            "domain": domain,
            "replay_ratio": way.replay_ratio,
            "ptpp": PTPP,
            "size": self.size,
            "method": way.method,
            "rank": None if way.method == "full" else way.rank,
            "lr": way.lr,
            "seed": seed,
            **({"variant": way.variant} if way.variant else {}),
            **({"newlines": way.newlines} if way.newlines != "keep" else {}),
        }
        run = self._writer(f"adapt-{domain}-{way.name}-{self.size}{self.suffix}-seed{seed}", job, labels, seed)
        run.start(1, "tokens")
        self._curve(run)
        if not done:
            run.end("failed", reason="the loss became NaN", hint="", error_type="TrainingError")
            return run.run_id
        evaluated = []
        for share in (*way.wise, None):
            model_id = f"{run.run_id}@atpp4" + (f"+wise{share:g}" if share is not None else "")
            run.emit(
                "model",
                **self._facts(run.run_id, model_id, n_params),
                parent=f"{self.bases[seed]}@ptpp16",
                atpp=ATPP,
                adapt_tokens=int(n_params * ATPP),
                replay_ratio=way.replay_ratio,
                domain=domain,
                method=way.method,
                **({"interpolation": share} if share is not None else {}),
            )
            for name, role in sets:
                plain = effect(domain, name, seed)
                rise = (rises or {}).get(name) or Rise(plain, plain)
                part = 1.0 if share is None else share
                before = zero_shot(name, seed)
                after = _risen(self.texts[name], before, Rise(rise.newline * part, rise.rest * part), seed)
                evaluated.append((model_id, name, role, after))
        self._evaluate(run, evaluated)
        run.end("done", seconds=1)
        return run.run_id

    def _set(self, name: str, role: str) -> EvalSet:
        return EvalSet(name=name, role=role, corpora=(self.corpora[name],))

    def _writer(self, name: str, job: Any, labels: Mapping[str, Any], seed: int = 0) -> RunWriter:
        spec = make_spec(name, job, labels)
        return RunWriter(
            self.workspace, spec.model_copy(update={"experiment": self.experiment, "seed": seed}), self.clock
        )

    def _facts(self, run_id: str, model_id: str, n_params: int) -> dict[str, Any]:
        return {
            "model_id": model_id,
            "run_id": run_id,
            "n_params": n_params,
            "ptpp": PTPP,
            "tokenizer_id": self.tokenizer_id,
        }

    def _curve(self, run: RunWriter) -> None:
        for step in (10, 20):
            run.emit("metric", step=step, tokens=step * 100, branch="trunk", values={"loss": 4.0 - step / 100})

    def _evaluate(self, run: RunWriter, evaluated: Iterable[tuple[str, str, str, Losses]]) -> None:
        scheme = SCHEME.content()
        for model_id, name, role, losses in evaluated:
            text = self.texts[name]
            evaluation_id = content_key([model_id, text.eval_set_id, scheme])
            run.emit(
                "evaluation",
                evaluation_id=evaluation_id,
                model_id=model_id,
                eval_set_id=text.eval_set_id,
                role=role,
                scheme=scheme,
                predicted=losses.predicted,
                sum_loss=losses.sum_loss,
                n_bytes=self.n_bytes(name),
                seconds=0.1,
                shard=run.shard("token_losses", losses.table(evaluation_id)),
            )


def _predicted(text: Text) -> np.ndarray:
    mask = np.ones(len(text.tokens), dtype=bool)
    mask[::WINDOW] = False
    return mask


def _flat(text: Text, loss: float) -> Losses:
    return Losses(np.where(_predicted(text), loss, np.nan).astype(np.float32))


def _risen(text: Text, before: float, rise: Rise, seed: int) -> Losses:
    mask, newline = _predicted(text), CLASSES[text.tokens] == "newline"
    # Documents differ, or no interval would have a width.
    noise = np.random.default_rng([seed, *text.name.encode()]).normal(0, 0.05, text.n_documents)[text.document]
    values = np.full(len(text.tokens), np.nan)
    for of, amount in ((mask & newline, rise.newline), (mask & ~newline, rise.rest)):
        values[of] = before + amount + noise[of] - noise[of].mean()
    return Losses(values.astype(np.float32))


def matrix_workspace(
    path: str | Path, *, seeds: tuple[int, ...] = (0, 1, 2), scored: tuple[str, ...] = DOMAINS
) -> Workspace:
    """Every domain adapted to plainly, with every seed."""
    workspace = Workspace.create(path)
    author = Author(workspace, scored=scored)
    author.prepare()
    for seed in seeds:
        author.pretrain(seed)
        for domain in DOMAINS:
            author.adapt(domain, seed)
    ingest(workspace)
    return workspace
