"""A passage of the evaluated text with the losses of a pair, and a little of the text around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from odyssey_tui.services.token_text import flowing

if TYPE_CHECKING:
    from store.queries.passages import BlockTokens
    from store.queries.passages import Passage as Place

CONTEXT_BEFORE, CONTEXT_AFTER = 16, 192
"""Tokens shown around a passage, as far as its block reaches."""
STRONG = 1.0
"""Nats of a rise that stands out without colours too."""


@dataclass(frozen=True)
class HeatToken:
    """A token as the vocabulary writes it (control characters escaped); losses are None where nothing was predicted.

    ``inside``: it belongs to the passage, not to the text around it.
    """

    token_id: int
    text: str
    token_class: str
    before: float | None
    after: float | None
    inside: bool

    @property
    def delta(self) -> float | None:
        """Δ loss in nats, positive where the loss rose."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Passage:
    """A passage with its surroundings. ``delta``: its sum of Δ in nats over ``count`` predicted tokens."""

    place: int
    """The number of its first token in the text."""
    document: int
    count: int
    delta: float
    tokens: tuple[HeatToken, ...]

    @property
    def mean(self) -> float:
        """Mean Δ per predicted token of the passage, nats."""
        return self.delta / self.count if self.count else 0.0


def marked_text(passage: Passage) -> str:
    """The passage itself as plain text; what rose by ``STRONG`` or more stands between ‹ and ›."""
    parts = []
    for token in passage.tokens:
        if not token.inside:
            continue
        text = flowing(token.text, token.token_class)
        body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
        strong = token.delta is not None and token.delta >= STRONG
        parts.append(f"‹{body}›{end}" if strong else text)
    return "".join(parts)


def cut_passage(place: Place, block: BlockTokens) -> Passage:
    """The passage at ``place`` of its block."""
    first = max(0, place.start - CONTEXT_BEFORE)
    last = min(len(block.token_id), place.stop + CONTEXT_AFTER)
    tokens = tuple(
        HeatToken(
            int(block.token_id[at]),
            str(block.text[at]),
            str(block.token_class[at]),
            float(block.before[at]) if np.isfinite(block.before[at]) else None,
            float(block.after[at]) if np.isfinite(block.after[at]) else None,
            place.start <= at < place.stop,
        )
        for at in range(first, last)
    )
    return Passage(place.place, place.document, place.count, place.sum_delta, tokens)
