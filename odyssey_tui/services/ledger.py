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

from odyssey_tui.services.format import perplexity
from odyssey_tui.services.token_text import escape_line_ends, visible
from store.errors import ConfigError
from store.names import suggest

CLASSES = ("newline", "whitespace", "punctuation", "digits", "function", "word", "special", "other")
_CODES = {name: code for code, name in enumerate(CLASSES)}
_OTHER = _CODES["other"]


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

    ``token_ids``, ``counts``: int64 [types]; ``before``, ``after``: float64 [types], sums of losses in nats; ``texts``
    and ``classes`` (one of ``CLASSES``) of each type.
    """

    token_ids: np.ndarray
    texts: Sequence[str]
    classes: Sequence[str]
    counts: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @cached_property
    def predicted(self) -> int:
        """T, the predicted positions."""
        return int(self.counts.sum())

    @cached_property
    def delta(self) -> float:
        """ΔL, nats per token."""
        return float(self.contributions.sum())

    @cached_property
    def contributions(self) -> np.ndarray:
        """c_v of every type, in the ledger's order."""
        return (self.after - self.before) / self.predicted

    @cached_property
    def loss_before(self) -> float:
        return float(self.before.sum()) / self.predicted

    @cached_property
    def loss_after(self) -> float:
        return float(self.after.sum()) / self.predicted

    @cached_property
    def n_rising(self) -> int:
        """How many types rise."""
        return int((self.contributions > 0).sum())

    @cached_property
    def shares(self) -> np.ndarray | None:
        """share(k) of k = 1, 2, …; None when no type rises."""
        rises = float(self.contributions[self.contributions > 0].sum())
        return np.cumsum(self.contributions) / rises if rises > 0 else None

    @cached_property
    def class_codes(self) -> np.ndarray:
        """The class of every type as its place in ``CLASSES``."""
        return np.array([_CODES.get(name, _OTHER) for name in self.classes], np.int8)

    def share(self, k: int) -> float | None:
        """share(k), or None when no type rises."""
        if self.shares is None:
            return None
        return float(self.shares[min(k, len(self.shares)) - 1]) if k > 0 else 0.0

    @cached_property
    def k_star(self) -> int:
        """k*: the fewest types whose removal makes ΔL ≤ 0."""
        left = self.delta - np.cumsum(self.contributions)
        return 0 if self.delta <= 0 else int(np.argmax(left <= abs(self.delta) * 1e-12)) + 1

    def row(self, index: int) -> TypeRow:
        """The type at a place of the ledger."""
        count = int(self.counts[index])
        return TypeRow(
            index + 1,
            int(self.token_ids[index]),
            str(self.texts[index]),
            CLASSES[self.class_codes[index]],
            count,
            float(self.before[index]) / count,
            float(self.after[index]) / count,
            float(self.contributions[index]),
            float(self.shares[index]) if self.shares is not None else None,
        )

    def rows(self, top: int | None = None) -> list[TypeRow]:
        """The first ``top`` types by contribution (all without)."""
        return [self.row(index) for index in range(min(len(self.counts), len(self.counts) if top is None else top))]

    @cached_property
    def by_class(self) -> tuple[ClassRow, ...]:
        """Classes that occur, most harmful first; their contributions sum to ΔL too."""
        codes, size = self.class_codes, len(CLASSES)
        types = np.bincount(codes, minlength=size)
        count, before, after = (
            np.bincount(codes, weights=column, minlength=size) for column in (self.counts, self.before, self.after)
        )
        rows = [
            ClassRow(
                name,
                int(types[code]),
                int(count[code]),
                float(before[code] / count[code]),
                float(after[code] / count[code]),
                float((after[code] - before[code]) / self.predicted),
            )
            for code, name in enumerate(CLASSES)
            if count[code]
        ]
        return tuple(sorted(rows, key=lambda row: -row.contribution))

    def types_of(self, token_class: str) -> frozenset[int]:
        """Token ids of a class."""
        return frozenset(self.token_ids[self.class_codes == _CODES[token_class]].tolist())

    def masked(self, token_ids: Iterable[int]) -> Masked:
        """Perplexities over the positions whose type is not among ``token_ids``."""
        chosen = frozenset(token_ids)
        kept = ~np.isin(self.token_ids, list(chosen))
        predicted = int(self.counts[kept].sum())
        if not predicted:
            return Masked(chosen, 0, math.nan, math.nan, math.nan)
        before, after = float(self.before[kept].sum()) / predicted, float(self.after[kept].sum()) / predicted
        return Masked(chosen, predicted, perplexity(before), perplexity(after), after - before)

    def classes_in(self, token_ids: frozenset[int]) -> frozenset[str] | None:
        """The classes that ``token_ids`` are made up of; None where they hold a part of a class only."""
        chosen = np.isin(self.token_ids, list(token_ids))
        size = len(CLASSES)
        own = np.bincount(self.class_codes[chosen], minlength=size)
        all_of = np.bincount(self.class_codes, minlength=size)
        if bool(((own > 0) & (own < all_of)).any()):
            return None
        return frozenset(CLASSES[code] for code in np.flatnonzero(own))

    def resolve_masks(self, masks: Sequence[str]) -> frozenset[int]:
        """Token ids meant by class names, ``#ID``, or a token's text as the ledger writes it."""
        meant: set[int] = set()
        for mask in masks:
            meant |= self._resolve(mask)
        return frozenset(meant)

    def _resolve(self, mask: str) -> frozenset[int]:
        if mask.strip() in CLASSES:
            return self.types_of(mask.strip())
        number = mask.strip().removeprefix("#")
        by_id = frozenset({int(number)}) if number.isdecimal() and int(number) in self._known_ids else frozenset()
        if mask.strip().startswith("#") and by_id:
            return by_id
        wanted = escape_line_ends(mask)
        known = zip(self.token_ids.tolist(), self.texts, strict=True)
        found = frozenset(token for token, text in known if wanted in (text, visible(text)))
        if not found and not by_id:
            classes = f"Classes: {', '.join(CLASSES)}; a token by its text, or #ID."
            raise ConfigError(
                f"--mask {visible(mask)}: no class, token id or token of this text is called that",
                f"{suggest(mask, [*CLASSES, *self.texts])} {classes}".lstrip(),
            )
        return found or by_id

    @cached_property
    def _known_ids(self) -> frozenset[int]:
        return frozenset(self.token_ids.tolist())
