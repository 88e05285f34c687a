"""Small texts that lie nearer to and farther from one another."""

from __future__ import annotations

import json
import random
from pathlib import Path

WORDS = {
    "base": "the cat sat on a mat and saw the dog run home past every old house near our river",
    "near": "the cat ran on a road and saw the fox run home past every old barn near our lake",
    "far": "SELECT 4711 FROM tbl_x9 WHERE qty<>17 GROUP BY zip99 HAVING cnt>=23 ORDER BY z_k0",
}


def write_texts(folder: Path, *, documents: int = 40) -> dict[str, Path]:
    """``base.jsonl``, ``near.jsonl`` and ``far.jsonl``."""
    paths = {}
    for name, words in WORDS.items():
        rng = random.Random(name)
        texts = (" ".join(rng.choices(words.split(), k=120)) for _ in range(documents))
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return paths
