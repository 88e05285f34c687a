"""What all sides of a comparison evaluate. Standard library only: peers read it in environments of their own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """A GPT-2 of random weights, a text and a window."""

    label: str
    n_layer: int
    n_embd: int
    n_head: int
    vocabulary: int
    window: int
    text_bytes: int
    device: str = "cpu"
    root: str = ""

    @property
    def model(self) -> str:
        return str(Path(self.root) / "model")

    @property
    def text(self) -> Path:
        return Path(self.root) / "text.txt"

    @property
    def pieces(self) -> Path:
        """JSON: the text in pieces that fit the window, BOS included."""
        return Path(self.root) / "pieces.json"

    @property
    def path(self) -> Path:
        return Path(self.root) / "setting.json"

    def write(self) -> None:
        self.path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: str) -> Setting:
        return cls(**json.loads(Path(path).read_text()))
