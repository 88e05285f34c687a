"""Stands in for sentence-transformers, which tests do not need: the same calls, letters counted instead of a model."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec

import numpy as np
import pytest


def install_fake_encoder(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make ``import sentence_transformers`` find it; the list that is returned collects every text it encodes.

    A model called ``broken`` gives NaN; a folder that is not there is refused as the library does, with an OSError.
    """
    import torch

    seen: list[str] = []

    class SentenceTransformer(torch.nn.Module):
        max_seq_length = 256

        def __init__(self, name: str, device: str | None = None) -> None:
            super().__init__()
            if name.startswith("/"):
                raise OSError(f"{name} is no local folder\nand much more")
            self.broken = name == "broken"
            self.scale = torch.nn.Parameter(torch.linspace(1, 2, 26))

        def encode(
            self, texts: list[str], batch_size: int, show_progress_bar: bool, convert_to_numpy: bool
        ) -> np.ndarray:
            seen.extend(texts)
            counts = [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
            vectors = np.array(counts, dtype=np.float32) * self.scale.detach().numpy()
            return np.full_like(vectors, np.nan) if self.broken else vectors

    module = types.ModuleType("sentence_transformers")
    module.__spec__ = ModuleSpec("sentence_transformers", None)
    module.SentenceTransformer = SentenceTransformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return seen
