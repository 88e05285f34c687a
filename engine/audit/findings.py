"""What an audit warns of."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from engine.audit.letters import Letters
from engine.audit.scan import Overlap, TextFacts
from engine.audit.tokens import TokenCounts
from engine.spec.run import Join, Newlines, Separator, TokenClass

Level = Literal["serious", "caution", "note"]
"""``serious``: perplexities will say something else than they seem to; ``caution``: they may; ``note``: to know."""
Side = Literal["train", "evaluation", "both"]


@dataclass(frozen=True)
class Finding:
    """One warning: what is so, by which numbers, and what to do about it."""

    code: str
    level: Level
    message: str
    evidence: str
    advice: str = ""
    side: Side = "both"
    share: float | None = None
    """f: share of the evaluation tokens whose loss may rise by Δ, so that PPL changes by the factor exp(f·Δ)."""
    token_class: TokenClass | None = None
    """The class that these tokens are, where it is one."""


@dataclass(frozen=True)
class Setting:
    """What is known of how a text is trained on and scored; None where nothing is known."""

    newlines: Newlines | None = None
    """Of the training text."""
    join: Join | None = None
    """Of the evaluation text."""
    separator: Separator | None = None
    joined: bool = False
    """Whether the training documents are pieces of one text, with no separator between them."""
    own: bool = True
    """Whether both are of one domain; else the model is trained on one and only forgets the other."""


@dataclass(frozen=True)
class Reading:
    """What was met when a file was read: bytes that are no UTF-8, inputs that were left out, where reading stopped."""

    invalid_bytes: int = 0
    skipped: tuple[str, ...] = ()
    cut_at: int | None = None
    """Bytes after which no more was read; None when all was."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A training text and an evaluation text, counted: what the checks look at."""

    train: TextFacts
    evaluation: TextFacts
    tokens: TokenCounts
    overlap: Overlap | None
    setting: Setting = Setting()
    train_reading: Reading = Reading()
    evaluation_reading: Reading = Reading()
    vocabulary: TokenVocabulary | None = None
    """Of the tokenizer; None where pieces were counted instead."""
    reference: tuple[int, int] | None = None
    """Tokens and bytes of the base text by the same tokenizer."""
    foreign_tokenizer: str = ""
    """Why the tokenizer is not the model's, where that is known."""


@dataclass(frozen=True, eq=False)
class TokenVocabulary:
    """What a tokenizer knows."""

    content: tuple[bytes, ...]
    unknown: int | None
    """The id that stands for what it cannot write, if there is one."""

    @functools.cached_property
    def letters(self) -> Letters:
        """The letters of every type."""
        return Letters.of(self.content)


def percent(share: float) -> str:
    """A share in percent, precise enough to be told from zero."""
    value = 100 * share
    return f"{value:.2f} %" if value < 9.995 else f"{value:.0f} %"


def per_1000(count: int, of: int) -> str:
    """A rate."""
    return f"{1000 * count / max(of, 1):.2f}"
