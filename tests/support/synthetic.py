"""A small realistic workspace, written through true journals and shards: for tests and for building screens.

One experiment ``demo``: two sizes pretrained to three PTPP each, adaptation of one domain over replay ratios and PTPP,
of five more domains in one cell each, one LoRA run, evaluations with losses per token, similarities, fits; one run is
running, one failed, one is queued. All numbers follow from ``synthetic_law`` and a seed; nothing is trained.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.launch.process import Identity
from engine.spec.run import Architecture, Evaluation, FitJob, Method, PrepareJob, PretrainJob, SimilarityJob
from engine.spec.strict import content_key
from store.ingest import ingest
from store.run_dir import RunDir
from store.workspace import Workspace
from tests.support import synthetic_law as law
from tests.support.synthetic_audits import AUDITED, audit_record
from tests.support.synthetic_fits import TRUE_FORM, Measured, mean_loss, write_fit
from tests.support.synthetic_specs import CORPORA, SCHEME, SET_TOKENS, SETS, TOKENIZER, TRAINING, adapt_spec
from tests.support.synthetic_text import (
    BASE,
    DOMAINS,
    TOKENIZER_ID,
    VOCABULARY,
    WINDOW,
    Losses,
    Text,
    make_losses,
    make_text,
    vocabulary_table,
)
from tests.support.synthetic_writer import EPOCH, Clock, RunWriter, make_spec

STEPS = 60


def synthetic_workspace(path: str | Path, *, runs: int = 0, ingested: bool = True) -> Workspace:
    """Make the workspace in ``path``, with ``runs`` further finished runs of an experiment ``scale``."""
    workspace = Workspace.create(path)
    _Author(workspace).write()
    write_finished_runs(workspace, runs)
    if ingested:
        ingest(workspace)
    return workspace


def write_finished_runs(workspace: Workspace, count: int) -> None:
    """Finished adaptation runs with short journals and no results, written without ceremony: for tests of scale."""
    for number in range(count):
        run = workspace.runs / f"scale-{number:06d}"
        attempt = run / "attempts" / "1"
        (attempt / "spool").mkdir(parents=True)
        labels = f'{{"domain": "docs", "replay_ratio": {number % 5 / 10}, "size": "xs", "seed": {number}}}'
        (run / "spec.json").write_text(
            f'{{"format": 1, "run_id": "{run.name}", "name": "{run.name}", "experiment": "scale", "labels": {labels}, '
            f'"seed": {number}, "needs": [], "cost_flops": 1e9, "job": {{"kind": "adapt"}}}}\n'
        )
        t = EPOCH + number
        (run / "control.jsonl").write_text(f'{{"seq": 0, "t": {t}, "event": "queued"}}\n')
        (attempt / "events.jsonl").write_text(
            f'{{"seq": 0, "t": {t + 1}, "event": "starting", "host": "h", "pid": 1}}\n'
            f'{{"seq": 1, "t": {t + 2}, "event": "running", "total": 10, "unit": "tokens"}}\n'
            f'{{"seq": 2, "t": {t + 3}, "event": "metric", "step": 1, "tokens": 10, "branch": "trunk", '
            f'"values": {{"loss": 3.5, "lr": 0.001}}}}\n'
            f'{{"seq": 3, "t": {t + 4}, "event": "done", "seconds": 3}}\n'
        )


class _Author:
    """Writes the experiment run by run; later runs refer to what earlier ones left here."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.clock = Clock()
        self.texts = {name: make_text(name, SETS[name].role, SET_TOKENS, 1) for name in SETS}
        self.base_runs: dict[str, str] = {}
        self.measured: list[Measured] = []
        self.prepare_id = ""

    def write(self) -> None:
        self.prepare()
        for size in law.SIZES:
            self.pretrain(size)
        for size, ptpp, replay_ratio in (
            *(("s", ptpp, ratio) for ptpp in (5.0, 15.0) for ratio in (0.0, 0.25, 0.5)),
            *(("xs", ptpp, 0.25) for ptpp in law.PTPP),
            *(("s", 45.0, ratio) for ratio in (0.0, 0.25)),
        ):
            self.adapt("docs", size, ptpp, replay_ratio)
        for domain in DOMAINS[1:]:
            self.adapt(domain, "s", 15.0, 0.0)
        self.adapt("docs", "s", 15.0, 0.0, Method(name="lora"))
        self.similarity()
        self.fit()
        self.unfinished()

    def prepare(self) -> None:
        job = PrepareJob(corpora=tuple(CORPORA.values()), tokenizer=TOKENIZER, sets=tuple(SETS.values()))
        run = RunWriter(self.workspace, make_spec("prepare", job, {}), self.clock)
        self.prepare_id = run.run_id
        run.start(len(CORPORA), "corpora")
        for name, corpus in CORPORA.items():
            run.emit(
                "corpus",
                corpus_key=corpus.key(),
                name=name,
                source=corpus.source,
                fingerprint=corpus.key(16),
                n_documents=120,
                n_groups=40,
                bytes={"train": 400_000, "valid": 8_000, "test": 40_000},
                tokens={"train": 100_000},
                duplicates=3,
            )
        run.emit(
            "tokenizer",
            tokenizer_id=TOKENIZER_ID,
            vocab_size=len(VOCABULARY),
            source="trained on base",
            shard=run.shard("vocabulary", vocabulary_table()),
        )
        for text in self.texts.values():
            run.emit(
                "eval_set",
                eval_set_id=text.eval_set_id,
                name=text.name,
                role=text.role,
                tokenizer_id=TOKENIZER_ID,
                split="test",
                n_tokens=len(text.tokens),
                n_bytes=text.n_bytes,
                n_documents=text.n_documents,
                fingerprint=text.eval_set_id,
                shard=run.shard("eval_set", text.table()),
            )
            run.shard("documents", text.documents_table())
        for name in AUDITED:
            run.emit("audit", **audit_record(CORPORA[name], SETS[name], TOKENIZER))
        run.end("done", seconds=20)

    def pretrain(self, size: str) -> None:
        n_params = law.SIZES[size]
        architecture = Architecture(n_layer=2, n_embd=64, n_head=2, context=WINDOW)
        job = PretrainJob(
            size=size,
            architecture=architecture,
            tokenizer=TOKENIZER,
            corpora=(CORPORA[BASE],),
            ptpp=law.PTPP,
            training=TRAINING,
            evaluation=Evaluation(sets=tuple(SETS.values()), scheme=SCHEME),
        )
        spec = make_spec(f"pretrain-{size}", job, {"size": size, "lr": 1e-3, "seed": 0}, (self.prepare_id,))
        run = RunWriter(self.workspace, spec, self.clock)
        self.base_runs[size] = run.run_id
        tokens = int(n_params * law.PTPP[-1])
        run.start(tokens, "tokens")
        self._curve(run, tokens, high=5.5, low=2.6, total=tokens)
        for ptpp in law.PTPP:
            model_id = f"{run.run_id}@ptpp{ptpp:g}"
            run.emit(
                "model",
                model_id=model_id,
                run_id=run.run_id,
                path=str(run.run.checkpoint(f"ptpp{ptpp:g}")),
                n_params=n_params,
                n_params_non_embedding=n_params // 2,
                tokens_seen=int(n_params * ptpp),
                ptpp=ptpp,
                tokenizer_id=TOKENIZER_ID,
                annealed=True,
            )
            run.emit("checkpoint", state=f"ptpp{ptpp:g}", tokens=int(n_params * ptpp))
            evaluated = []
            for text in self.texts.values():
                evaluated.append((model_id, text, self._before(text, n_params, ptpp)))
            _evaluate(run, evaluated)
        run.emit("progress", done=tokens, total=tokens, phase="evaluating", eta_s=0)
        run.end("done", seconds=300)

    def adapt(self, domain: str, size: str, ptpp: float, replay_ratio: float, method: Method | None = None) -> None:
        method = method or Method()
        n_params = law.SIZES[size]
        run = RunWriter(
            self.workspace, adapt_spec(self.base_runs, domain, size, ptpp, replay_ratio, method), self.clock
        )
        total = int(n_params * law.ATPP[-1])
        run.start(total, "tokens")
        self._curve(run, total, high=4.0, low=2.9, total=total)
        # A run's own luck: forms fit well, but not exactly.
        wobble = 1.0 + float(np.random.default_rng([11, *run.spec.name.encode()]).normal(0, 0.004))
        wobble += 0.015 if method.name == "lora" else 0.0
        for atpp in law.ATPP:
            state, tokens = f"atpp{atpp:g}", int(n_params * atpp)
            model_id, parent = f"{run.run_id}@{state}", f"{self.base_runs[size]}@ptpp{ptpp:g}"
            replayed = round(tokens // WINDOW * replay_ratio) * WINDOW
            run.emit(
                "mixture",
                replay_requested=replay_ratio,
                replay_realised=replayed / tokens,
                sequences=tokens // WINDOW,
                target_tokens=tokens - replayed,
                replay_tokens=replayed,
                target_epochs=(tokens - replayed) / 100_000,
                replay_epochs=replayed / 100_000,
            )
            run.emit(
                "model",
                model_id=model_id,
                run_id=run.run_id,
                path=str(run.run.checkpoint(state)),
                n_params=n_params,
                n_params_non_embedding=n_params // 2,
                tokens_seen=int(n_params * ptpp) + tokens,
                ptpp=ptpp,
                tokenizer_id=TOKENIZER_ID,
                parent=parent,
                atpp=atpp,
                adapt_tokens=tokens,
                replay_ratio=replay_ratio,
                domain=domain,
                method=method.name,
                n_params_trained=n_params if method.name == "full" else n_params // 20,
                annealed=True,
            )
            evaluated = []
            for text in (self.texts[domain], self.texts[BASE]):
                mean = wobble * law.predict_loss(text.role, n_params, ptpp, tokens, replay_ratio)
                losses = make_losses(text, mean, seed=int(atpp), newline_factor=1.9)
                evaluated.append((model_id, text, losses))
                if domain == "docs" and method.name == "full":
                    zero_shot = mean_loss(self._before(text, n_params, ptpp))
                    cell = (run.run_id, text.role, n_params, ptpp, atpp, replay_ratio)
                    self.measured.append(Measured(*cell, mean_loss(losses), zero_shot))
            _evaluate(run, evaluated)
        if domain == "tables":
            run.emit("warning", message="the domain holds fewer tokens than the budget: 4.0 epochs")
        run.end("done", seconds=60)

    def similarity(self) -> None:
        job = SimilarityJob(
            reference=(CORPORA[BASE],),
            domains=tuple(CORPORA[domain] for domain in DOMAINS),
            tokenizer=TOKENIZER,
            measures=("cosine", "jsd"),
            embedders=("ngrams",),
        )
        run = RunWriter(self.workspace, make_spec("similarity", job, {}, (self.prepare_id,)), self.clock)
        run.start(2 * len(DOMAINS), "measurements")
        for measure, closer in (("cosine", True), ("jsd", False)):
            for number, domain in enumerate(DOMAINS):
                near = law.NEARNESS[domain] + 0.04 * math.sin(number)
                value = near if closer else 1.0 - near
                run.emit(
                    "similarity",
                    domain=domain,
                    reference=BASE,
                    measure=measure,
                    embedder="ngrams" if closer else "tokens",
                    encoder="hashed n-grams" if closer else TOKENIZER_ID,
                    value=value,
                    low=value - 0.03,
                    high=value + 0.03,
                    n_samples=256,
                    seed=0,
                    higher_is_closer=closer,
                )
        run.end("done", seconds=5)

    def fit(self) -> None:
        job = FitJob(forms=("dcpt", TRUE_FORM), fit_ptpp=law.FIT_PTPP, score_ptpp=law.SCORE_PTPP, domain="docs")
        run = RunWriter(self.workspace, make_spec("fit-docs", job, {"domain": "docs"}), self.clock)
        run.start(4, "fits")
        for form in job.forms:
            for role in job.roles:
                write_fit(run, form, role, self.measured)
        run.end("done", seconds=8)

    def unfinished(self) -> None:
        """A run that is running (in this process), one that failed, one that waits."""
        running = RunWriter(self.workspace, adapt_spec(self.base_runs, "docs", "xs", 5.0, 0.0, Method()), self.clock)
        me = Identity.current()
        identity = {"host": me.host, "pid": me.pid, "pid_started": me.pid_started, "boot_id": me.boot_id}
        running.start(400_000, "tokens", identity)
        self._curve(running, 160_000, high=4.4, low=3.6, total=400_000, eta_s=90.0)
        running.emit("heartbeat")
        running.end(None)
        failed = RunWriter(self.workspace, adapt_spec(self.base_runs, "headers", "xs", 5.0, 0.0, Method()), self.clock)
        failed.start(400_000, "tokens")
        self._curve(failed, 40_000, high=4.4, low=4.1, total=400_000)
        failed.end(
            "failed",
            reason="the loss became NaN at step 6",
            hint="Lower the learning rate (lr: 0.001) or raise warmup_share.",
            error_type="TrainingError",
        )
        failed.attempt.console.write_text(
            "".join(f"step {step} loss {4.4 - step / 20:.3f}\n" for step in range(6)) + "step 6 loss nan\n"
        )
        queued = RunWriter(self.workspace, adapt_spec(self.base_runs, "tests", "xs", 5.0, 0.0, Method()), self.clock)
        queued.end(None)

    def _before(self, text: Text, n_params: int, ptpp: float) -> Losses:
        return make_losses(text, law.zero_shot_loss(text.role, text.name, n_params, ptpp), seed=0)

    def _curve(self, run: RunWriter, tokens: int, *, high: float, low: float, total: int, eta_s: float = 0.0) -> None:
        rng = np.random.default_rng([3, *run.spec.name.encode()])
        for step in range(1, STEPS + 1):
            done = tokens * step // STEPS
            run.emit(
                "metric",
                step=step * 10,
                tokens=done,
                branch="trunk",
                values={
                    "loss": low + (high - low) * math.exp(-step / 15) + float(rng.normal(0, 0.02)),
                    "lr": TRAINING.lr * min(1.0, step / 6),
                    "grad_norm": 1.0 + float(rng.normal(0, 0.1)),
                    "tokens_per_s": 15_000.0 + float(rng.normal(0, 500)),
                    "flops": 6.0 * law.SIZES[str(run.spec.labels["size"])] * done,
                    "memory_bytes": 1.2e9,
                },
            )
        run.emit("progress", done=tokens, total=total, phase="training", eta_s=eta_s)


def _evaluate(run: RunWriter, evaluated: list[tuple[str, Text, Losses]]) -> None:
    """One shard with the losses of all sets, then an event for each."""
    scheme = SCHEME.content()
    tables, events = [], []
    for model_id, text, losses in evaluated:
        evaluation_id = content_key([model_id, text.eval_set_id, scheme])
        tables.append(losses.table(evaluation_id))
        events.append(
            {
                "evaluation_id": evaluation_id,
                "model_id": model_id,
                "eval_set_id": text.eval_set_id,
                "role": text.role,
                "scheme": scheme,
                "predicted": losses.predicted,
                "sum_loss": losses.sum_loss,
                "n_bytes": text.n_bytes,
                "seconds": 0.4,
            }
        )
    shard = run.shard("token_losses", pa.concat_tables(tables))
    for event in events:
        run.emit("evaluation", **event, shard=shard)


def find_run_dir(workspace: Workspace, beginning: str) -> RunDir:
    """The one run whose identifier begins so."""
    (run_id,) = [name for name in workspace.run_ids() if name.startswith(beginning)]
    return workspace.run(run_id)
