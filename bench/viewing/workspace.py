"""A workspace of many finished runs and some very long ones, written as workers do and ingested:
``python -m bench.viewing.workspace ROOT RUNS POINTS``.

Experiments of adaptations over domains, replay ratios, PTPP, sizes and seeds, with evaluations before and after on the
domain and on the base text, and curves of 20 points; eight further adaptations have curves of POINTS points. The same
arguments make the same workspace: numbers come from a seed, times from a pretended clock, and nothing is trained.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.spec.run import (
    AdaptJob,
    Architecture,
    Corpus,
    EvalSet,
    Evaluation,
    Job,
    Model,
    PrepareJob,
    PretrainJob,
    RunSpec,
    Scheme,
    Tokenizer,
    Training,
)
from engine.spec.strict import content_key
from store.files import write_json
from store.ingest import ingest
from store.workspace import Workspace

EPOCH = 1_790_000_000.0
SHORT_POINTS, LONG_RUNS = 20, 8
BATCH_TOKENS, WINDOW = 16_384, 1024
SIZES = {"xs": 8e6, "s": 30e6, "m": 120e6, "l": 400e6}
PTPP = (5.0, 10.0, 20.0, 40.0, 80.0)
REPLAY = (0.0, 0.05, 0.1, 0.25, 0.5)
DOMAINS = tuple(f"domain-{number:02d}" for number in range(20))
BASE = "web"
LONG = "long"
"""The experiment of the long runs, launched before all others."""
TOKENIZER_ID = "generated"
SCHEME = {"kind": "blocks", "window": WINDOW, "stride": None, "bos": False, "precision": "fp32"}
PREDICTED, BYTES = 100_000, 420_000
CORPORA = {name: Corpus(name=name, source=f"installation:{name}") for name in (BASE, *DOMAINS)}
TOKENIZER = Tokenizer(train_on=(CORPORA[BASE],))
SETS = {
    name: EvalSet(name=name, role="base" if name == BASE else "target", corpora=(corpus,))
    for name, corpus in CORPORA.items()
}
TRAINING = Training(lr=1e-4)


@dataclass(frozen=True)
class Cell:
    """What one adaptation was asked for."""

    domain: str
    ptpp: float
    replay: float
    size: str
    seed: int

    @property
    def name(self) -> str:
        return f"adapt-{self.domain}-r{self.replay:g}-p{self.ptpp:g}-{self.size}"


def write_workspace(root: Path, runs: int, points: int) -> Workspace:
    """``runs`` runs in all, the long ones with ``points`` points each among them; ingested."""
    workspace = Workspace.create(root)
    writer = _Writer(workspace)
    prepared = writer.prepare()
    bases = {size: writer.pretrain(size, prepared) for size in SIZES}
    long = [Cell(DOMAINS[0], 20.0, number / 16, "l", 0) for number in range(LONG_RUNS)]
    ids = [writer.adapt(LONG, cell, bases, points, f"{LONG}-r{cell.replay:g}") for cell in long]
    writer.launch(LONG, [prepared, *bases.values(), *ids])
    rest = runs - 1 - len(bases) - LONG_RUNS
    per_domain = -(-rest // len(DOMAINS))
    for number, domain in enumerate(DOMAINS):
        cells = itertools.islice(_cells(domain), max(0, min(per_domain, rest - number * per_domain)))
        ids = [writer.adapt(f"sweep-{domain}", cell, bases, SHORT_POINTS) for cell in cells]
        writer.launch(f"sweep-{domain}", ids)
    ingest(workspace)
    return workspace


def _cells(domain: str) -> Iterator[Cell]:
    for seed in itertools.count():
        for size, ptpp, replay in itertools.product(SIZES, PTPP, REPLAY):
            yield Cell(domain, ptpp, replay, size, seed)


class _Writer:
    """Writes run after run; the clock goes on by itself."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._now = EPOCH
        self._random = random.Random(17)

    def launch(self, experiment: str, run_ids: list[str]) -> None:
        record = self._workspace.experiments / f"{experiment}-{content_key([experiment], 8)}.json"
        write_json(record, {"name": experiment, "key": "0", "launched": self._tick(), "runs": run_ids})
        record.with_suffix(".yaml").write_text(f"name: {experiment}\n")

    def prepare(self) -> str:
        job = PrepareJob(corpora=tuple(CORPORA.values()), tokenizer=TOKENIZER, sets=tuple(SETS.values()))
        lines = [self._line("tokenizer", tokenizer_id=TOKENIZER_ID, vocab_size=512, source="generated")]
        for name, corpus in CORPORA.items():
            lines.append(self._line("corpus", corpus_key=corpus.key(), name=name, source=corpus.source))
            sizes = {"n_tokens": PREDICTED, "n_bytes": BYTES, "n_documents": 200}
            lines.append(
                self._line(
                    "eval_set", eval_set_id=name, name=name, role=SETS[name].role, tokenizer_id=TOKENIZER_ID,
                    split="test", fingerprint=name, **sizes,
                )
            )  # fmt: skip
        return self._write("prepare", LONG, job, {}, (), lines, 1, "corpora")

    def pretrain(self, size: str, prepared: str) -> str:
        """A base model with a state at every PTPP, evaluated on everything."""
        evaluation = Evaluation(sets=tuple(SETS.values()), scheme=Scheme(window=WINDOW))
        job = PretrainJob(
            size=size,
            architecture=Architecture(n_layer=12, n_embd=768, n_head=12, context=WINDOW),
            tokenizer=TOKENIZER,
            corpora=(CORPORA[BASE],),
            ptpp=PTPP,
            training=TRAINING,
            evaluation=evaluation,
        )
        spec = self._spec(f"pretrain-{size}", LONG, job, {"size": size, "seed": 0}, (prepared,))
        tokens = int(SIZES[size] * PTPP[-1])
        lines = self._curve(SHORT_POINTS, tokens, 5.0)
        for ptpp in PTPP:
            state = f"{spec.run_id}@ptpp{ptpp:g}"
            lines.append(
                self._line(
                    "model", model_id=state, run_id=spec.run_id, tokenizer_id=TOKENIZER_ID,
                    n_params=int(SIZES[size]), tokens_seen=int(SIZES[size] * ptpp), ptpp=ptpp,
                )
            )  # fmt: skip
            lines += [self._evaluation(state, name, 3.6 - 0.1 * math.log(ptpp)) for name in SETS]
        return self._finish(spec, lines, tokens, "tokens")

    def adapt(self, experiment: str, cell: Cell, bases: dict[str, str], points: int, name: str = "") -> str:
        base = f"{bases[cell.size]}@ptpp{cell.ptpp:g}"
        job = AdaptJob(
            base=Model(run=bases[cell.size], state=f"ptpp{cell.ptpp:g}"),
            tokenizer=TOKENIZER,
            target=CORPORA[cell.domain],
            replay=(CORPORA[BASE],),
            replay_ratio=cell.replay,
            atpp=(4.0,),
            training=TRAINING,
            evaluation=Evaluation(sets=(SETS[cell.domain], SETS[BASE]), scheme=Scheme(window=WINDOW)),
        )
        labels = {
            "domain": cell.domain,
            "replay_ratio": cell.replay,
            "ptpp": cell.ptpp,
            "size": cell.size,
            "method": "full",
            "rank": None,
            "lr": TRAINING.lr,
            "seed": cell.seed,
        }
        spec = self._spec(name or cell.name, experiment, job, labels, (bases[cell.size],))
        tokens = points * BATCH_TOKENS
        state = f"{spec.run_id}@atpp4"
        lines = self._curve(points, tokens, 3.4)
        if cell.seed % 100 == 99:
            return self._finish(spec, lines, tokens, "tokens", "failed")
        lines.append(
            self._line(
                "model", model_id=state, run_id=spec.run_id, tokenizer_id=TOKENIZER_ID, parent=base,
                n_params=int(SIZES[cell.size]), ptpp=cell.ptpp, atpp=4.0, adapt_tokens=tokens,
                domain=cell.domain, method="full", replay_ratio=cell.replay,
            )
        )  # fmt: skip
        lines.append(self._evaluation(state, cell.domain, 3.1 - 0.08 * math.log(cell.ptpp) + 0.2 * cell.replay))
        lines.append(self._evaluation(state, BASE, 3.7 - 0.1 * math.log(cell.ptpp) - 0.3 * cell.replay))
        return self._finish(spec, lines, tokens, "tokens")

    def _curve(self, points: int, tokens: int, start: float) -> list[str]:
        noise = self._random.gauss
        lines = []
        for number in range(points):
            share = (number + 1) / points
            loss = 2.4 + (start - 2.4) * (1 + 400 * share) ** -0.4 + noise(0.0, 0.06)
            values = {"loss": round(loss, 5), "lr": round(1e-4 * (1 - 0.9 * share), 9), "tokens_per_s": 21_500.0}
            lines.append(
                self._line("metric", step=number + 1, tokens=int(tokens * share), branch="trunk", values=values)
            )
        return lines

    def _evaluation(self, state: str, name: str, loss: float) -> str:
        measured = (loss + self._random.gauss(0.0, 0.02)) * PREDICTED
        return self._line(
            "evaluation", evaluation_id=content_key([state, name], 12), model_id=state, eval_set_id=name,
            role=SETS[name].role, scheme=SCHEME, predicted=PREDICTED, n_bytes=BYTES, sum_loss=measured, seconds=2.0,
        )  # fmt: skip

    def _spec(self, name: str, experiment: str, job: Job, labels: dict[str, Any], needs: tuple[str, ...]) -> RunSpec:
        seed = labels.get("seed", 0)
        run_id = f"{name}-{content_key([name, experiment, seed], 8)}"
        return RunSpec(
            run_id=run_id, name=name, experiment=experiment, needs=needs, labels=labels, seed=seed, cost_flops=1e15,
            job=job,
        )  # fmt: skip

    def _write(
        self, name: str, experiment: str, job: Job, labels: dict[str, Any], needs: tuple[str, ...], lines: list[str],
        total: float, unit: str,
    ) -> str:  # fmt: skip
        return self._finish(self._spec(name, experiment, job, labels, needs), lines, total, unit)

    def _finish(self, spec: RunSpec, lines: list[str], total: float, unit: str, end: str = "done") -> str:
        """Write the run's folder: specification, the scheduler's journal, the journal of its one attempt."""
        folder = self._workspace.runs / spec.run_id
        attempt = folder / "attempts" / "1"
        (attempt / "spool").mkdir(parents=True)
        # What no reader relies on (a sync for every file) is left out: a hundred thousand runs would take an hour.
        (folder / "spec.json").write_text(json.dumps(spec.content(), indent=2) + "\n")
        control = [self._line("queued"), self._line("assigned", attempt=1, worker="w1")]
        (folder / "control.jsonl").write_text(_numbered(control))
        start = self._line("starting", host="generated", pid=1, device="cuda:0", versions={"torch": "2.13.0"}, git="")
        running = self._line("running", total=total, unit=unit)
        last = self._line(end, **({"seconds": 60.0} if end == "done" else {"reason": "out of memory"}))
        (attempt / "events.jsonl").write_text(_numbered([start, running, *lines, last]))
        (attempt / "console.log").write_text(f"{spec.run_id} on cuda:0\n")
        return spec.run_id

    def _line(self, event: str, **fields: Any) -> str:
        return json.dumps({"t": self._tick(), "event": event, **fields}, separators=(",", ":"))

    def _tick(self) -> float:
        self._now += 0.5
        return self._now


def _numbered(lines: list[str]) -> str:
    return "".join(f'{{"seq":{number},{line[1:]}\n' for number, line in enumerate(lines))


def main() -> None:
    root, runs, points = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    started = time.perf_counter()
    workspace = write_workspace(root, runs, points)
    print(f"{len(workspace.run_ids()):,} runs in {time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
