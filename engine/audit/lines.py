"""How a text is broken into lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

Layout = Literal["none", "wrapped", "paragraphs", "lines"]
# Beyond this many line ends a text has enough of them to say how they are used.
ENOUGH_LINE_ENDS = 20
NONE_PER_1000 = 0.05
WRAPPED_SHARE, WRAPPED_LONGEST = 0.4, 130
PARAGRAPH_CHARACTERS = 100
_WITHIN = re.compile(r"[\w,;]\n(?=\w)")
# A sentence that ends where the next begins: what stripping lines and joining them by nothing makes.
_GLUED = re.compile(r"[.!?…](?<=[^\W\d_].)(?=[A-ZÀ-Þ][a-zß-ÿ])")


@dataclass(frozen=True)
class Lines:
    """Line ends and what surrounds them; lengths are of lines that are not blank, in characters."""

    ends: int
    crlf: int
    lone_cr: int
    blank: int
    """Line ends that follow another directly."""
    within: int
    """Line ends in the middle of a sentence: a word or comma before, a small letter after."""
    indented: int
    """Lines that begin with space, blank ones apart."""
    trailing: int
    """Lines that end with space, blank ones apart."""
    glued: int
    """Sentences that end and begin with no space between (``end.Next``)."""
    median_length: float
    p90_length: float

    def per_1000(self, characters: int) -> float:
        """Line ends in 1,000 characters."""
        return 1000 * self.ends / characters if characters else 0.0

    def layout(self, characters: int) -> Layout:
        """``none``: hardly a line end; ``wrapped``: broken to a width; ``paragraphs``: a line is a paragraph; else
        ``lines`` (verse, dialogue, code, lists)."""
        if self.per_1000(characters) < NONE_PER_1000:
            return "none"
        full = self.ends - self.blank
        if full and self.within / full >= WRAPPED_SHARE and self.p90_length <= WRAPPED_LONGEST:
            return "wrapped"
        return "paragraphs" if self.median_length >= PARAGRAPH_CHARACTERS else "lines"


class LineCounter:
    """Adds up texts."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("ends", "crlf", "lone_cr", "blank", "within", "indented", "trailing", "glued"), 0)
        self._lengths: list[np.ndarray] = []

    def add(self, text: str, codes: np.ndarray) -> None:
        """Count a text; ``codes`` are its code points."""
        ends = np.flatnonzero(codes == 0x0A)
        returns = np.flatnonzero(codes == 0x0D)
        following = codes[np.minimum(returns + 1, len(codes) - 1)] if len(returns) else returns
        paired = int(((following == 0x0A) & (returns + 1 < len(codes))).sum())
        starts = np.concatenate([[0], ends + 1])
        stops = np.concatenate([ends, [len(codes)]])
        lengths = stops - starts
        if paired:
            lengths = lengths - ((lengths > 0) & (codes[np.maximum(stops - 1, 0)] == 0x0D))
        full = lengths > 0
        first, last = codes[starts[full]], codes[(starts + lengths)[full] - 1]
        add = self._counts
        add["ends"] += len(ends)
        add["crlf"] += paired
        add["lone_cr"] += len(returns) - paired
        add["blank"] += int((~full[:-1]).sum())
        add["indented"] += int(((first == 0x20) | (first == 0x09)).sum())
        add["trailing"] += int(((last == 0x20) | (last == 0x09)).sum())
        add["within"] += sum(text[match.end()].islower() for match in _WITHIN.finditer(text)) if len(ends) else 0
        add["glued"] += sum(1 for _ in _GLUED.finditer(text))
        self._lengths.append(lengths[full].astype(np.int32))

    def result(self) -> Lines:
        """What was counted so far."""
        lengths = np.concatenate(self._lengths) if self._lengths else np.empty(0, np.int32)
        median, p90 = np.quantile(lengths, [0.5, 0.9]).tolist() if len(lengths) else (0.0, 0.0)
        return Lines(**self._counts, median_length=median, p90_length=p90)
