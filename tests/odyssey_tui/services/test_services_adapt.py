"""Choosing one adaptation of an experiment by its name, a beginning of it, or its identifier."""

from __future__ import annotations

from pathlib import Path

import pytest

from odyssey_tui.services.adapt import choose_adaptation
from store.errors import ConfigError
from store.workspace import Workspace

CONFIG = """\
name: voyage
corpora: {books: {source: "hf:books"}, law: {source: "hf:law"}}
base:
  corpora: books
  sizes: {s: {n_layer: 1, n_embd: 16, n_head: 2}}
  context: 32
  ptpp: 4
  training: {lr: 3e-3, sequence: 32}
adapt:
  - {domain: law, atpp: 1, lr: [1e-3, 5e-5]}
  - {domain: law, atpp: 1, method: lora, dropout: 0.1}
  - {domain: law, atpp: 1, method: lora, dropout: 0.2}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "voyage.yaml"
    path.write_text(CONFIG)
    return path


def test_every_adaptation_can_be_named(tmp_path: Path, config: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    by_rate = choose_adaptation(workspace, config, (), "adapt-law-r0-p4-s-lr5e-05")
    assert by_rate.spec.job.training.lr == 5e-5
    assert choose_adaptation(workspace, config, (), "adapt-law-r0-p4-s-lr5") == by_rate
    assert [spec.job.kind for spec in by_rate.specs] == ["prepare", "pretrain", "evaluate", "adapt"]
    with pytest.raises(ConfigError, match="2 adaptations begin with") as refused:
        choose_adaptation(workspace, config, (), "adapt-law-r0-p4-s-lora8")
    # Their names are alike: their identifiers are listed, and one of them chooses.
    first, second = (line.strip() for line in str(refused.value.message).splitlines()[1:])
    dropouts = {choose_adaptation(workspace, config, (), name).spec.job.method.dropout for name in (first, second)}
    assert dropouts == {0.1, 0.2}
