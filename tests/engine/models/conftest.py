"""What the tests of models share."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.spec.run import Corpus, Tokenizer
from store.workspace import Workspace


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> LoadedTokenizer:
    """A byte-level BPE of 260 tokens, trained on a few sentences."""
    root: Path = tmp_path_factory.mktemp("tokenizer")
    (root / "text").mkdir()
    for number in range(20):
        (root / "text" / f"{number}.txt").write_text(f"Sentence {number} is one of twenty.\n" * (number + 3))
    corpus = Corpus(name="text", source=str(root / "text"))
    workspace = Workspace.create(root / "workspace")
    return load_tokenizer(Tokenizer(train_on=(corpus,), vocab_size=260), workspace)
