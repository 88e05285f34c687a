"""A workspace, and corpora written to disk."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.spec.run import Corpus
from store.workspace import Workspace

WORDS = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "the", "of", "and", "a", "in", "is", "to", "(", ")", ",", "."),
    *("été", "naïve", "漢字", "12", "3.5", "don't"),
)


def make_prose(seed: int, n_words: int) -> str:
    """Lines of seeded random words, some of them beyond ASCII."""
    rng = random.Random(seed)
    words = [rng.choice(WORDS) for _ in range(n_words)]
    return "".join(f"{' '.join(words[start : start + 9])}\n" for start in range(0, n_words, 9))


def write_jsonl(path: Path, n_documents: int, n_groups: int, seed: int = 0, n_words: int = 90) -> Path:
    """A JSONL corpus with fields id, group, lang and text."""
    records = (
        {
            "id": f"d{seed}-{n}",
            "group": f"g{n % n_groups}",
            "lang": "en" if n % 2 else "fr",
            "text": make_prose(1000 * seed + n, n_words),
        }
        for n in range(n_documents)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def prose() -> Callable[[int, int], str]:
    """``prose(seed, n_words)``: lines of seeded random words."""
    return make_prose


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace")


@pytest.fixture
def corpora(tmp_path: Path) -> tuple[Corpus, Corpus]:
    """Two corpora of 40 documents in 10 groups."""
    made = []
    for seed, name in enumerate(("near", "far")):
        path = write_jsonl(tmp_path / f"{name}.jsonl", 40, 10, seed=seed)
        made.append(Corpus(name=name, source=str(path), group_field="group", test_share=0.2, valid_share=0.1))
    return made[0], made[1]
