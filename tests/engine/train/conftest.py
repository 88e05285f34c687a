"""What the tests of training share: a report that remembers, and data without files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.spec.run import Architecture


class Recorder:
    """A report in memory; asks for a stop once ``stop_after`` pulses of progress were seen."""

    attempt = 1

    def __init__(self, stop_after: int | None = None) -> None:
        self.metrics: list[dict[str, Any]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.phases: list[str] = []
        self.total = self.done = self.pulses = 0
        self._stop_after = stop_after

    @property
    def stop_reason(self) -> str | None:
        stop = self._stop_after is not None and self.pulses >= self._stop_after
        return "asked" if stop else None

    def should_stop(self) -> bool:
        return self.stop_reason is not None

    def running(self, total: float, unit: str, done: float = 0) -> None:
        self.total, self.done = total, done

    def progress(self, done: float, phase: str = "") -> None:
        self.done, self.pulses = done, self.pulses + 1
        if phase not in self.phases[-1:]:
            self.phases.append(phase)

    def metric(self, step: int, tokens: int, branch: str, **values: float) -> None:
        for name in ("tokens_per_s", "memory_bytes"):
            values.pop(name, None)
        self.metrics.append({"step": step, "tokens": tokens, "branch": branch, **values})

    def warning(self, text: str) -> None:
        self.events.append(("warning", {"message": text}))

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))


class Noise:
    """Random sequences, a pure function of the position; remembers which were read."""

    def __init__(self, length: int = 16, vocabulary: int = 50) -> None:
        self.length, self.vocabulary = length, vocabulary
        self.read: list[int] = []

    def batch(self, first: int, count: int) -> np.ndarray:
        self.read.extend(range(first, first + count))
        rows = [np.random.default_rng(k).integers(0, self.vocabulary, self.length) for k in range(first, first + count)]
        return np.stack(rows)


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def noise() -> Noise:
    return Noise()


@pytest.fixture
def decoder() -> Decoder:
    """A tiny GPT-2 over 50 tokens with a context of 16; two calls give equal weights."""
    return fresh_decoder()


def fresh_decoder() -> Decoder:
    torch.set_num_threads(1)
    return Decoder(build_model(Architecture(n_layer=1, n_embd=16, n_head=2, context=16), 50, seed=0), plain=True)


@pytest.fixture
def make_decoder():
    return fresh_decoder
