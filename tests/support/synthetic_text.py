"""A small vocabulary, evaluation texts over it and losses per token: seeded, and with newlines that get worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

BLOCK = 1024
WINDOW = 256
TOKENIZER_ID = "bpe-synthetic"
DOMAINS = ("docs", "headers", "licences", "stdlib", "tables", "tests")
BASE = "base"

_FUNCTION_WORDS = "the of and to in is that for it as with on".split()  # noqa: SIM905
_WORDS = [f"w{number:02d}" for number in range(40)]
VOCABULARY = [
    ("\\n", "newline"),
    ("·", "whitespace"),
    ("\\t", "whitespace"),
    *((mark, "punctuation") for mark in ".,:;()"),
    *((str(digit), "digits") for digit in range(10)),
    *((word, "function") for word in _FUNCTION_WORDS),
    *((word, "word") for word in _WORDS),
    ("<|end|>", "special"),
]
CLASSES = np.array([token_class for _, token_class in VOCABULARY])


@dataclass(frozen=True)
class Text:
    """One evaluation set: its tokens (n,) and the document of each."""

    eval_set_id: str
    name: str
    role: str
    tokens: np.ndarray
    document: np.ndarray

    @property
    def n_bytes(self) -> int:
        return 4 * len(self.tokens)

    @property
    def n_documents(self) -> int:
        return int(self.document[-1]) + 1

    def table(self) -> pa.Table:
        starts = range(0, len(self.tokens), BLOCK)
        byte = np.arange(len(self.tokens) + 1) * 4
        return pa.table(
            {
                "eval_set_id": [self.eval_set_id] * len(starts),
                "block": list(range(len(starts))),
                "token_ids": [self.tokens[at : at + BLOCK].tolist() for at in starts],
                "document": [self.document[at : at + BLOCK].tolist() for at in starts],
                "byte_start": [byte[:-1][at : at + BLOCK].tolist() for at in starts],
                "byte_end": [byte[1:][at : at + BLOCK].tolist() for at in starts],
            }
        )

    def documents_table(self) -> pa.Table:
        sizes = np.bincount(self.document) * 4
        return pa.table(
            {
                "eval_set_id": [self.eval_set_id] * len(sizes),
                "document": list(range(len(sizes))),
                "corpus": [self.name] * len(sizes),
                "doc_id": [f"{self.name}/{number}" for number in range(len(sizes))],
                "n_bytes": sizes.tolist(),
            }
        )


@dataclass(frozen=True)
class Losses:
    """Losses (n,) float32 of one evaluation, NaN where nothing was predicted."""

    values: np.ndarray

    @property
    def predicted(self) -> int:
        return int(np.isfinite(self.values).sum())

    @property
    def sum_loss(self) -> float:
        return float(np.nansum(self.values.astype(np.float64)))

    def table(self, evaluation_id: str) -> pa.Table:
        starts = range(0, len(self.values), BLOCK)
        lists = [pa.array(self.values[at : at + BLOCK], pa.float32(), from_pandas=True) for at in starts]
        return pa.table(
            {
                "evaluation_id": [evaluation_id] * len(starts),
                "block": list(range(len(starts))),
                "losses": pa.array([part.to_pylist() for part in lists], pa.list_(pa.float32())),
            }
        )


def vocabulary_table() -> pa.Table:
    return pa.table(
        {
            "tokenizer_id": [TOKENIZER_ID] * len(VOCABULARY),
            "token_id": list(range(len(VOCABULARY))),
            "text": [text for text, _ in VOCABULARY],
            "token_class": [token_class for _, token_class in VOCABULARY],
        }
    )


def make_text(name: str, role: str, n_tokens: int, seed: int) -> Text:
    """Zipf-like words, a newline about every thirtieth token, a document about every 150 tokens."""
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    share = 1.0 / np.arange(1, len(VOCABULARY) + 1)
    share[0] = share.sum() / 30
    tokens = rng.choice(len(VOCABULARY), size=n_tokens, p=share / share.sum())
    document = np.cumsum(rng.random(n_tokens) < 1 / 150).astype(np.int64)
    return Text(f"set-{name}", name, role, tokens, document - document[0])


def make_losses(text: Text, mean: float, seed: int, newline_factor: float = 1.0) -> Losses:
    """Losses whose mean over the predicted positions is ``mean`` nats; the first position of a window is not predicted.

    The noise belongs to the text, so that before and after differ by what adaptation did; ``newline_factor`` scales
    the newlines' losses before the mean is set.
    """
    own = np.random.default_rng([7, *text.name.encode()])
    weight = own.uniform(0.4, 1.8, len(VOCABULARY))
    noise = own.gamma(2.0, 0.5, len(text.tokens)) + 0.05
    moved = np.random.default_rng([seed, *text.name.encode()]).normal(1.0, 0.08, len(text.tokens)).clip(0.5, 1.5)
    values = weight[text.tokens] * noise * moved
    values[CLASSES[text.tokens] == "newline"] *= newline_factor
    values[::WINDOW] = np.nan
    return Losses((values * mean / np.nanmean(values)).astype(np.float32))
