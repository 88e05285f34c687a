"""What is asked of the model at each target: loss masks by token, divergence from the base, documents kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.data.token_classes import readable
from engine.train.batch import PLAIN, Batch, Objective
from store.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.data.tokenizer import LoadedTokenizer
    from engine.models.reference import Reference
    from engine.spec.run import LossMask, Training

NEARBY = 6


@dataclass(frozen=True)
class TargetTable:
    """What each token is worth as a target, by token id: float32 (vocabulary,) each, never both above 0."""

    weights: np.ndarray
    """Of its next-token loss."""
    divergence: np.ndarray
    """Of the divergence from the base model's prediction."""


class Masked:
    """Targets treated apart by their token, or by where documents meet.

    With w_i and v_i the ``weights`` and ``divergence`` of target i, and p, p_base predictions of it, a step's loss is

        Σ_i [ −w_i · log p(y_i) + v_i · KL(p_base ‖ p) ] / #{i: w_i > 0 or v_i > 0}

    over all sequences of the step in all processes: what is left out is not counted, what is weighted counts as one.
    """

    def __init__(
        self, table: TargetTable | None, end_of_text: int | None = None, reference: Reference | None = None
    ) -> None:
        """``end_of_text`` is the token that ends each document, where documents are to be kept apart."""
        self.reference = reference
        self._table = table
        self._end_of_text = end_of_text

    def prepare(self, tokens: np.ndarray) -> Batch:
        """Weights, and documents if any begins within a row; their first tokens are not predicted."""
        targets = tokens[:, 1:]
        weights = divergence = documents = None
        if self._table is not None:
            weights = self._table.weights[targets]
            divergence = None if self.reference is None else self._table.divergence[targets]
        if self._end_of_text is not None:
            numbers = number_documents(tokens, self._end_of_text)
            documents = numbers if numbers.any() else None
        if documents is not None:
            within = documents[:, 1:] == documents[:, :-1]
            weights = within.astype(np.float32) if weights is None else weights * within
            divergence = None if divergence is None else divergence * within
        count = targets.size if weights is None else np.count_nonzero(weights)
        count += 0 if divergence is None else np.count_nonzero(divergence)
        return Batch(tokens, weights, divergence, documents, int(count))


def objective_of(training: Training, tokenizer: LoadedTokenizer, reference: Reference | None = None) -> Objective:
    """The objective that ``training`` describes; ``reference`` where its masks ask for the divergence from a base.

    ``ConfigError`` for a token that the vocabulary does not have, and for a divergence without a base.
    """
    if not training.masks and training.cross_document:
        return PLAIN
    if asks_for_base(training) and reference is None:
        raise ConfigError(
            "training.masks: kl asks for the divergence from a base model, but this trains one from scratch",
            "Use exclude or weight for the base's own training; kl belongs to adapt_training.",
        )
    if not training.cross_document and training.separator != "eos":
        raise ConfigError(
            f"training.cross_document: false cannot tell documents apart by separator: {training.separator}",
            "Use separator: eos.",
        )
    return Masked(
        target_table(training.masks, tokenizer) if training.masks else None,
        None if training.cross_document else tokenizer.eos_id,
        reference if asks_for_base(training) else None,
    )


def asks_for_base(training: Training) -> bool:
    """Whether some targets are held to the base model's prediction."""
    return any(mask.treat == "kl" for mask in training.masks)


def target_table(masks: Sequence[LossMask], tokenizer: LoadedTokenizer) -> TargetTable:
    """What each token of the vocabulary is worth; of two masks on one token the later one holds."""
    weights = np.ones(tokenizer.vocab_size, np.float32)
    divergence = np.zeros(tokenizer.vocab_size, np.float32)
    for number, mask in enumerate(masks):
        chosen = _chosen(mask, number, tokenizer)
        weights[chosen] = mask.weight if mask.treat == "weight" else 0.0
        divergence[chosen] = mask.weight if mask.treat == "kl" else 0.0
    return TargetTable(weights, divergence)


def number_documents(tokens: np.ndarray, end_of_text: int) -> np.ndarray:
    """The number of each token's document within its row, int32 (rows, length); end-of-text belongs to what it ends."""
    ends = tokens == end_of_text
    return (np.cumsum(ends, axis=1) - ends).astype(np.int32)


def _chosen(mask: LossMask, number: int, tokenizer: LoadedTokenizer) -> np.ndarray:
    """The token ids that a mask names, as a boolean (vocabulary,)."""
    chosen = np.isin(tokenizer.token_classes, mask.classes) if mask.classes else np.zeros(tokenizer.vocab_size, bool)
    for token in mask.tokens:
        found = _by_id(token, tokenizer) if isinstance(token, int) else _by_text(token, tokenizer)
        if found is None:
            raise ConfigError(
                f"training.masks, mask {number + 1}: {_quoted(token)} is no token of the vocabulary of "
                f"{tokenizer.source}",
                _advice(token, tokenizer),
            )
        chosen[found] = True
    return chosen


def _by_id(token: int, tokenizer: LoadedTokenizer) -> list[int] | None:
    return [token] if token < tokenizer.vocab_size else None


def _by_text(text: str, tokenizer: LoadedTokenizer) -> list[int] | None:
    content = text.encode()
    return [index for index, other in enumerate(tokenizer.token_bytes) if other == content] or None


def _advice(token: str | int, tokenizer: LoadedTokenizer) -> str:
    if isinstance(token, int):
        return f"Token ids run from 0 to {tokenizer.vocab_size - 1}."
    (ids,) = tokenizer.encode([token])
    content, bare = token.encode(), token.strip().encode()
    alike = (other for other in tokenizer.token_bytes if bare and bare.lower() in other.lower() and other != content)
    nearby = sorted(set(alike), key=lambda other: (len(other), other))[:NEARBY]
    parts = ", ".join(_quoted(tokenizer.token_bytes[index]) for index in ids) or "nothing"
    return f"It is read as {parts}." + (f" Near it: {', '.join(map(_quoted, nearby))}." if nearby else "")


def _quoted(token: str | int | bytes) -> str:
    if isinstance(token, int):
        return str(token)
    return f"'{readable(token if isinstance(token, bytes) else token.encode())}'"
