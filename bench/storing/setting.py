"""What is stored: two long evaluations to compare, and a sweep of 498 short ones, with losses as a language model's.

Half of the rows each. Token types follow Zipf's law; a type has a mean loss and a spread of its own (gamma), rare types
higher ones; many losses are near zero. An evaluation's losses are those of its text, changed a little token by token.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

SWEEP, PAIR = 498, 2
VOCABULARY = 50_257
DOCUMENT_TOKENS = 900
CHUNK = 1 << 21
"""Tokens made at once."""
CLASSES = ("word", "function", "punctuation", "digits", "newline", "whitespace", "other")


@dataclass(frozen=True)
class Setting:
    """How many losses, and where they are."""

    rows: int
    root: str = ""
    sweep: bool = True
    """Whether there is a sweep; without it all of the rows are the pair's."""

    @property
    def path(self) -> Path:
        return Path(self.root) / f"{self.rows}.json"

    @property
    def long_tokens(self) -> int:
        """Tokens of the text of the pair."""
        return self.rows // (2 * PAIR if self.sweep else PAIR)

    @property
    def short_tokens(self) -> int:
        """Tokens of the text of the sweep."""
        return self.rows // (2 * SWEEP)

    @property
    def texts(self) -> tuple[Text, ...]:
        """The pair's, then the sweep's if there is one."""
        long = Text("long", 0, self.long_tokens, ("before", "after"))
        if not self.sweep:
            return (long,)
        return long, Text("short", 1, self.short_tokens, tuple(f"sweep{number:03d}" for number in range(SWEEP)))

    @property
    def losses(self) -> int:
        """Losses that are really stored: ``rows`` without what does not divide."""
        return sum(text.n_tokens * len(text.evaluations) for text in self.texts)

    def write(self) -> None:
        self.path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: str | Path) -> Setting:
        return cls(**json.loads(Path(path).read_text()))


@dataclass(frozen=True)
class Text:
    """An evaluation set and the evaluations on it."""

    name: str
    number: int
    n_tokens: int
    evaluations: tuple[str, ...]

    @property
    def chunks(self) -> int:
        return -(-self.n_tokens // CHUNK)

    def size(self, chunk: int) -> int:
        return min(CHUNK, self.n_tokens - chunk * CHUNK)

    def tokens(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and documents of a chunk, int32."""
        rng = np.random.default_rng([self.number, chunk, 0])
        cumulated, order = token_types()[:2]
        ids = order[np.searchsorted(cumulated, rng.random(self.size(chunk), dtype=np.float32))]
        places = np.arange(self.size(chunk)) + chunk * CHUNK
        return ids, (places // DOCUMENT_TOKENS).astype(np.int32)

    def base(self, chunk: int, ids: np.ndarray) -> np.ndarray:
        """What the text itself contributes to the losses of a chunk, float32 nats."""
        rng = np.random.default_rng([self.number, chunk, 1])
        _, _, shape, scale = token_types()
        return rng.standard_gamma(shape[ids], dtype=np.float32) * scale[ids]

    def losses(self, evaluation: int, chunk: int, base: np.ndarray) -> np.ndarray:
        """Float32 losses of one evaluation in nats; NaN for the first token of every window of 1,024."""
        rng = np.random.default_rng([self.number, chunk, 2 + evaluation])
        change = rng.standard_normal(len(base), dtype=np.float32)
        losses = 9 * np.log1p(base * np.exp(change * np.float32(0.25)) / 9) + np.float32(1e-5)
        losses[::1024] = np.nan
        return losses


@cache
def token_types() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By rank: cumulated frequency and id; by id: shape and scale of the gamma distribution of its losses."""
    rng = np.random.default_rng(7)
    weights = 1 / (np.arange(VOCABULARY) + 2.7) ** 1.05
    cumulated = (np.cumsum(weights) / weights.sum()).astype(np.float32)
    cumulated[-1] = 1
    order = rng.permutation(VOCABULARY).astype(np.int32)
    mean = np.empty(VOCABULARY, np.float32)
    mean[order] = np.clip(rng.gamma(2, 1.2, VOCABULARY) + np.log1p(np.arange(VOCABULARY)) * 0.45 - 1, 0.02, 14)
    shape = rng.uniform(0.3, 1.5, VOCABULARY).astype(np.float32)
    return cumulated, order, shape, mean / shape
