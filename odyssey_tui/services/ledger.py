"""The token ledger of one pair of evaluations: which token types carry ΔL, and what remains when some are masked.

Loss of target token x_i before (0) and after (1), the same positions; T of them were predicted:

    c_v = (1/T) Σ_{i: x_i = v} (ℓ1_i − ℓ0_i),  Σ_v c_v = ΔL,  PPL1/PPL0 = exp(ΔL)
    share(k) = Σ_{top-k by c_v} c_v / Σ_{v: c_v > 0} c_v, undefined when no type rises
    k* = fewest types whose removal makes ΔL ≤ 0 (0 if it already is)
    masked PPL = exp(mean of ℓ over positions whose type is not masked)

Everything is computed from per-type sums, so a mask costs no query.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.stats import MeanDifference
from odyssey_tui.services.format import perplexity
from store.errors import ConfigError
from store.names import suggest

CLASSES = ("newline", "whitespace", "punctuation", "digits", "function", "word", "special", "other")


@dataclass(frozen=True)
class TypeRow:
    """One token type. ``contribution`` is c_v in nats per token of the whole text; ``share`` the cumulative share."""

    rank: int
    token_id: int
    text: str
    token_class: str
    count: int
    loss_before: float
    loss_after: float
    contribution: float
    share: float | None


@dataclass(frozen=True)
class ClassRow:
    """One class of tokens: positions, their mean losses, and its sum of contributions."""

    token_class: str
    n_types: int
    count: int
    loss_before: float
    loss_after: float
    contribution: float


@dataclass(frozen=True)
class Masked:
    """What is left without the masked types; perplexities are NaN when nothing is left."""

    token_ids: frozenset[int]
    predicted: int
    ppl_before: float
    ppl_after: float
    delta: float


@dataclass(frozen=True, eq=False)
class Ledger:
    """Per-type sums of a pair of evaluations, most harmful type first.

    ``token_ids``, ``counts``: int64 [types]; ``before``, ``after``: float64 [types], sums of losses in nats.
    ``documents``: ΔL with its paired document bootstrap.
    """

    token_ids: np.ndarray
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    counts: np.ndarray
    before: np.ndarray
    after: np.ndarray
    documents: MeanDifference

    @property
    def predicted(self) -> int:
        """T, the predicted positions."""
        return int(self.counts.sum())

    @property
    def delta(self) -> float:
        """ΔL, nats per token."""
        return float(self.contributions.sum())

    @cached_property
    def contributions(self) -> np.ndarray:
        """c_v of every type, in the ledger's order."""
        return (self.after - self.before) / self.predicted

    @property
    def loss_before(self) -> float:
        return float(self.before.sum()) / self.predicted

    @property
    def loss_after(self) -> float:
        return float(self.after.sum()) / self.predicted

    @property
    def n_rising(self) -> int:
        """How many types rise."""
        return int((self.contributions > 0).sum())

    def share(self, k: int) -> float | None:
        """share(k), or None when no type rises."""
        rises = float(self.contributions[self.contributions > 0].sum())
        return float(self.contributions[:k].sum()) / rises if rises > 0 else None

    @property
    def k_star(self) -> int:
        """k*: the fewest types whose removal makes ΔL ≤ 0."""
        left = self.delta - np.cumsum(self.contributions)
        return 0 if self.delta <= 0 else int(np.argmax(left <= abs(self.delta) * 1e-12)) + 1

    def rows(self, top: int | None = None) -> list[TypeRow]:
        """The first ``top`` types by contribution (all without)."""
        rises = float(self.contributions[self.contributions > 0].sum())
        shares = np.cumsum(self.contributions) / rises if rises > 0 else None
        return [
            TypeRow(
                index + 1,
                int(self.token_ids[index]),
                self.texts[index],
                self.classes[index],
                int(self.counts[index]),
                float(self.before[index] / self.counts[index]),
                float(self.after[index] / self.counts[index]),
                float(self.contributions[index]),
                float(shares[index]) if shares is not None else None,
            )
            for index in range(min(len(self.counts), top if top is not None else len(self.counts)))
        ]

    def class_rows(self) -> list[ClassRow]:
        """Classes that occur, most harmful first; their contributions sum to ΔL too."""
        names = np.array(self.classes)
        rows = []
        for name in CLASSES:
            of = names == name
            count = int(self.counts[of].sum())
            if count:
                before, after = float(self.before[of].sum()), float(self.after[of].sum())
                contribution = (after - before) / self.predicted
                rows.append(ClassRow(name, int(of.sum()), count, before / count, after / count, contribution))
        return sorted(rows, key=lambda row: -row.contribution)

    def types_of(self, token_class: str) -> frozenset[int]:
        """Token ids of a class."""
        pairs = zip(self.token_ids, self.classes, strict=True)
        return frozenset(int(token) for token, name in pairs if name == token_class)

    def masked(self, token_ids: Iterable[int]) -> Masked:
        """Perplexities over the positions whose type is not among ``token_ids``."""
        chosen = frozenset(token_ids)
        kept = ~np.isin(self.token_ids, list(chosen))
        predicted = int(self.counts[kept].sum())
        if not predicted:
            return Masked(chosen, 0, math.nan, math.nan, math.nan)
        before, after = float(self.before[kept].sum()) / predicted, float(self.after[kept].sum()) / predicted
        return Masked(chosen, predicted, perplexity(before), perplexity(after), after - before)

    def resolve_masks(self, masks: Sequence[str]) -> frozenset[int]:
        """Token ids meant by class names, ``#ID``, or a token's text as the ledger writes it."""
        meant: set[int] = set()
        for mask in masks:
            meant |= self._resolve(mask)
        return frozenset(meant)

    def _resolve(self, mask: str) -> frozenset[int]:
        if mask in CLASSES:
            return self.types_of(mask)
        if mask.startswith("#") and mask[1:].isdigit() and int(mask[1:]) in self.token_ids:
            return frozenset({int(mask[1:])})
        known = zip(self.token_ids, self.texts, strict=True)
        found = frozenset(int(token) for token, text in known if mask in (text, visible(text)))
        if not found:
            classes = f"Classes: {', '.join(CLASSES)}; a token by its text, or #ID."
            raise ConfigError(
                f"--mask {mask}: no class, token id or token of this text is called that",
                f"{suggest(mask, [*CLASSES, *self.texts])} {classes}".lstrip(),
            )
        return found


def visible(text: str) -> str:
    """A token with its leading and trailing spaces made visible."""
    bare = text.strip(" ")
    if not bare:
        return "␣" * len(text)
    before = len(text) - len(text.lstrip(" "))
    return "␣" * before + bare + "␣" * (len(text) - before - len(bare))
