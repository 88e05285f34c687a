"""What one comparison of training speed trains: handed to every contender as a JSON file. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """A model and how it is trained; the same for every contender."""

    label: str
    family: str
    """``gpt2`` or ``llama`` (untied embeddings)."""
    n_layer: int
    n_embd: int
    n_head: int
    vocabulary: int
    """Of the model; the text's own tokenizer may have fewer tokens."""
    sequence: int
    batch: int
    steps: int
    precision: str = "fp32"
    rank: int = 0
    """Of a LoRA adapter on every linear layer; 0 trains all weights."""
    device: str = "cpu"
    threads: int = 2
    log_every: int = 10
    lr: float = 3e-4
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0
    root: str = ""
    """The prepared folder: ``workspace/``, ``model/`` (a Hugging Face folder), ``batches.npy`` int64 (sequences,
    length) in the order of training."""

    @property
    def model(self) -> str:
        return str(Path(self.root) / "model")

    @property
    def batches(self) -> str:
        return str(Path(self.root) / "batches.npy")

    @property
    def workspace(self) -> str:
        return str(Path(self.root) / "workspace")

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: str | Path) -> Setting:
        return cls(**json.loads(Path(path).read_text()))
