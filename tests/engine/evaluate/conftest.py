"""A tokenizer and a model state as a run leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.spec.run import Corpus, Tokenizer
from store.workspace import Workspace
from tests.support.states import save_tiny_state


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.create(tmp_path_factory.mktemp("evaluate") / "workspace")


@pytest.fixture(scope="session")
def tokenizer(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> LoadedTokenizer:
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text("the ship left the island and the wind had turned\n" * 400)
    spec = Tokenizer(train_on=(Corpus(name="text", source=str(text), test_share=0),), vocab_size=300)
    return load_tokenizer(spec, workspace)


@pytest.fixture(scope="session")
def state(workspace: Workspace, tokenizer: LoadedTokenizer) -> Path:
    """The folder of state ``ptpp2`` of run ``pretrain-a``: two layers, a context of 64 tokens."""
    return save_tiny_state(workspace, tokenizer, "pretrain-a", "ptpp2")
