"""Token counts of a training text and an evaluation text, side by side."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.token_classes import classify, readable
from engine.spec.run import TokenClass

CLASSES: tuple[TokenClass, ...] = (
    *("newline", "whitespace", "punctuation", "digits"),
    *("function", "word", "special", "other"),
)
LISTED = 20
"""Token types listed in each direction."""


@dataclass(frozen=True)
class ClassRow:
    """Tokens of one class in both texts."""

    token_class: TokenClass
    train: int
    evaluation: int


@dataclass(frozen=True)
class TypeRow:
    """Tokens of one type in both texts. ``excess``: what its rarity in training costs a unigram model of the training
    text, q·ln(q/p) in nats per evaluation token; of a type that is rarer in evaluation the same with p and q changed
    about, negative."""

    text: str
    token_class: TokenClass
    train: int
    evaluation: int
    excess: float


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """How often each token type occurs; all (types,) and aligned. ``content`` are the types' bytes."""

    content: Sequence[bytes]
    classes: np.ndarray
    train: np.ndarray
    evaluation: np.ndarray

    @classmethod
    def of_pieces(cls, train: Counter[str], evaluation: Counter[str]) -> TokenCounts:
        """Of pieces counted without a tokenizer."""
        pieces = sorted({*train, *evaluation})
        content = [piece.encode("utf-8", "surrogatepass") for piece in pieces]
        return cls(
            content,
            np.array([classify(text) for text in content], dtype=object),
            np.array([train[piece] for piece in pieces], np.int64),
            np.array([evaluation[piece] for piece in pieces], np.int64),
        )

    @property
    def n_train(self) -> int:
        return int(self.train.sum())

    @property
    def n_evaluation(self) -> int:
        return int(self.evaluation.sum())

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of text of every type, (types,) int64; none of a special token."""
        lengths = np.array([len(text) for text in self.content], np.int64)
        return np.where(self.classes == "special", 0, lengths)

    @property
    def train_bytes(self) -> int:
        """Bytes of all that was counted, which may be more than was looked through for anything else."""
        return int((self.sizes * self.train).sum())

    @property
    def evaluation_bytes(self) -> int:
        """The same of the evaluation text."""
        return int((self.sizes * self.evaluation).sum())

    def class_rows(self) -> tuple[ClassRow, ...]:
        """Every class, those that occur in neither text too."""
        return tuple(
            ClassRow(
                name, int(self.train[self.classes == name].sum()), int(self.evaluation[self.classes == name].sum())
            )
            for name in CLASSES
        )

    def type_rows(self, listed: int = LISTED) -> tuple[TypeRow, ...]:
        """The types that differ most: first those that evaluation has more of, then those that training has."""
        excess = self._excess()
        more = [index for index in np.argsort(-excess, kind="stable")[:listed] if excess[index] > 0]
        less = [index for index in np.argsort(excess, kind="stable")[:listed] if excess[index] < 0]
        return tuple(self._row(index, excess) for index in (*more, *less))

    def rows(self, chosen: np.ndarray) -> tuple[TypeRow, ...]:
        """Some types, by mask, the commonest in evaluation first."""
        excess = self._excess()
        indices = np.flatnonzero(chosen)
        return tuple(
            self._row(index, excess) for index in indices[np.argsort(-self.evaluation[indices], kind="stable")]
        )

    def _row(self, index: int, excess: np.ndarray) -> TypeRow:
        return TypeRow(
            readable(self.content[index]),
            self.classes[index],
            int(self.train[index]),
            int(self.evaluation[index]),
            float(excess[index]),
        )

    def _excess(self) -> np.ndarray:
        """As of ``TypeRow``, with half a token added to every type."""
        types = max(1, int(((self.train > 0) | (self.evaluation > 0)).sum()))
        p = (self.train + 0.5) / (self.n_train + 0.5 * types)
        q = (self.evaluation + 0.5) / (self.n_evaluation + 0.5 * types)
        found = np.where(q > p, q * np.log(q / p), -p * np.log(p / q))
        return np.where((self.train > 0) | (self.evaluation > 0), found, 0.0)
