"""Tokens without a tokenizer: a rule that is the same everywhere, for counting classes where no vocabulary is given.

A line end is a piece with the spaces around it up to the next visible character (``\\n``, ``\\n\\n  ``); letters with
the apostrophes between them are a word; digits are a number; every other visible character is a mark; a single space
belongs to what follows it, as in byte-level BPE, and any other run of whitespace is a piece.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_PIECE = re.compile(r"[^\S\n]*\n\s*| ?[^\W\d_]+(?:['’][^\W\d_]+)*| ?\d+| ?[^\w\s]| ?_|\s+?(?= ?\S)|\s+")


def split_pieces(text: str) -> list[str]:
    """The pieces of a text; joined they are the text."""
    return _PIECE.findall(text)


def count_pieces(texts: Iterable[str]) -> Counter[str]:
    """How often each piece occurs."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_pieces(text))
    return counts
