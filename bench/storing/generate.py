"""Shards as worker processes write them: ``python -m bench.storing.generate SETTING WORKSPACE texts|ROUND``.

In a process of its own, so that the memory it takes is not the store's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.storing.setting import CHUNK, CLASSES, DOCUMENT_TOKENS, VOCABULARY, Setting, Text
from store.journal import Journal
from store.run_dir import AttemptDir, create_run
from store.shards import BLOCK_TOKENS, write_shard
from store.workspace import Workspace

ROUND_TOKENS = 100_000_000
"""Losses generated and then ingested at a time: what lies in the spool at once."""
Totals = dict[str, tuple[int, float]]
SCHEME = {"kind": "blocks", "window": 1024, "stride": None, "bos": False, "precision": "fp32"}


@dataclass(frozen=True)
class Part:
    """Losses of some evaluations over one chunk of a text."""

    text: int
    chunk: int
    first: int
    last: int


def plan_rounds(setting: Setting) -> list[list[Part]]:
    """Everything in rounds of about ``ROUND_TOKENS`` losses."""
    rounds: list[list[Part]] = [[]]
    held = 0
    for part in _parts(setting):
        if held >= ROUND_TOKENS:
            rounds.append([])
            held = 0
        rounds[-1].append(part)
        held += setting.texts[part.text].size(part.chunk) * (part.last - part.first)
    return rounds


def _parts(setting: Setting) -> Iterator[Part]:
    for number, text in enumerate(setting.texts):
        for first in range(0, len(text.evaluations), 2):
            for chunk in range(text.chunks):
                yield Part(number, chunk, first, min(first + 2, len(text.evaluations)))


def write_texts(setting: Setting, workspace: Workspace) -> None:
    """The run that brings vocabulary and evaluation sets."""
    run = create_run(workspace, {"run_id": "prepare", "job": {"kind": "prepare"}})
    attempt = run.new_attempt()
    ids = np.arange(VOCABULARY)
    vocabulary = {
        "tokenizer_id": ["t"] * VOCABULARY,
        "token_id": ids,
        "text": [f"token {number}" for number in ids],
        "token_class": [CLASSES[number % len(CLASSES)] for number in ids],
    }
    events = Journal(attempt.events)
    shard = write_shard(attempt.spool, "vocabulary", pa.table(vocabulary))
    events.append("tokenizer", tokenizer_id="t", vocab_size=VOCABULARY, source="generated", shard=shard)
    for text in setting.texts:
        for chunk in range(text.chunks):
            shard = write_shard(attempt.spool, "eval_set", _tokens(text, chunk))
        documents = -(-text.n_tokens // DOCUMENT_TOKENS)
        numbers = {"n_tokens": text.n_tokens, "n_bytes": text.n_tokens * 4, "n_documents": documents}
        events.append(
            "eval_set", eval_set_id=text.name, name=text.name, role="target", tokenizer_id="t", split="test",
            **numbers, fingerprint="", shard=shard, documents_shard=None,
        )  # fmt: skip
    if not setting.sweep:
        before, after = (f"m@{name}" for name in setting.texts[0].evaluations)
        for name, parent in ((before, None), (after, before)):
            events.append("model", model_id=name, run_id="evaluate", parent=parent, atpp=1.0 if parent else None)
    events.close()


def _tokens(text: Text, chunk: int) -> pa.Table:
    ids, documents = text.tokens(chunk)
    blocks, offsets = _blocks(text, chunk)
    starts = np.arange(len(ids), dtype=np.int64) * 4
    flat = {"token_ids": ids, "document": documents, "byte_start": starts, "byte_end": starts + 4}
    lists = {name: pa.ListArray.from_arrays(offsets, pa.array(values)) for name, values in flat.items()}
    return pa.table({"eval_set_id": [text.name] * len(blocks), "block": blocks, **lists})


def _blocks(text: Text, chunk: int) -> tuple[pa.Array, pa.Array]:
    size = text.size(chunk)
    starts = np.arange(0, size, BLOCK_TOKENS, dtype=np.int32)
    first = chunk * (CHUNK // BLOCK_TOKENS)
    return pa.array(np.arange(len(starts), dtype=np.int32) + first), pa.array(np.append(starts, np.int32(size)))


def write_round(setting: Setting, workspace: Workspace, number: int) -> None:
    """The shards of a round, and the event of every evaluation that they complete."""
    run = workspace.run("evaluate")
    if not run.exists():
        create_run(workspace, {"run_id": "evaluate", "job": {"kind": "evaluate"}}).new_attempt()
    attempt = run.attempts()[-1]
    events = Journal(attempt.events)
    running = Path(setting.root) / "totals.json"
    totals: Totals = json.loads(running.read_text()) if running.exists() else {}
    for part in plan_rounds(setting)[number]:
        _write_part(setting.texts[part.text], part, attempt, events, totals)
    events.close()
    running.write_text(json.dumps(totals))


def _write_part(text: Text, part: Part, attempt: AttemptDir, events: Journal, totals: Totals) -> None:
    base = text.base(part.chunk, text.tokens(part.chunk)[0])
    blocks, offsets = _blocks(text, part.chunk)
    for place in range(part.first, part.last):
        name = text.evaluations[place]
        losses = text.losses(place, part.chunk, base)
        missing = np.isnan(losses)
        lists = pa.ListArray.from_arrays(offsets, pa.array(losses, mask=missing))
        table = pa.table({"evaluation_id": [name] * len(blocks), "block": blocks, "losses": lists})
        shard = write_shard(attempt.spool, "token_losses", table)
        predicted, total = totals.get(name, (0, 0.0))
        predicted += int((~missing).sum())
        total += float(losses[~missing].sum(dtype=np.float64))
        totals[name] = (predicted, total)
        if part.chunk == text.chunks - 1:
            events.append(
                "evaluation", evaluation_id=name, model_id=f"m@{name}", eval_set_id=text.name, role="target",
                scheme=SCHEME, predicted=predicted, sum_loss=total, n_bytes=predicted * 4, seconds=1.0, shard=shard,
            )  # fmt: skip


if __name__ == "__main__":
    given = Setting.read(sys.argv[1])
    place = Workspace.open(Path(sys.argv[2]))
    if sys.argv[3] == "texts":
        write_texts(given, place)
    else:
        write_round(given, place, int(sys.argv[3]))
