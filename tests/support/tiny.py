"""The smallest real experiment: seconds from text to an adapted, evaluated model."""

from __future__ import annotations

import json
import random
from pathlib import Path

EXPERIMENT = """
name: tiny
corpora:
  base: {source: base.jsonl, test_share: 0.2, valid_share: 0.1}
  poems: {source: poems.jsonl, test_share: 0.2, valid_share: 0.1}
tokenizer: {train_on: base, vocab_size: 300}
base:
  corpora: base
  sizes: {xs: {n_layer: 1, n_embd: 16, n_head: 2}}
  context: 32
  ptpp: [2]
  training: {lr: 3e-3, sequence: 32, batch_sequences: 8, log_every: 1}
adapt:
  - {domain: poems, replay_ratio: 0, atpp: [0.5, 1]}
evaluate: {max_tokens: 2000}
"""


def write_corpus(path: Path, seed: int, documents: int) -> None:
    """Documents of made-up words."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 7))) for _ in range(300)]
    verses = (["\n".join(" ".join(rng.choices(words, k=8)) for _ in range(25))] for _ in range(documents))
    path.write_text("".join(json.dumps({"text": text}) + "\n" for (text,) in verses))


def write_experiment(folder: Path, *, documents: int = 60) -> Path:
    """Two corpora of ``documents`` documents and an experiment over them; returns its file."""
    write_corpus(folder / "base.jsonl", 1, documents)
    write_corpus(folder / "poems.jsonl", 2, documents)
    path = folder / "tiny.yaml"
    path.write_text(EXPERIMENT)
    return path
