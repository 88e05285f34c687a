"""Which characters a text is made of: scripts, and the traces that wrong encodings leave."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np

CODES = 0x110000
REPLACEMENT, BYTE_ORDER_MARK = 0xFFFD, 0xFEFF
# UTF-8 of Latin, Greek, Cyrillic, Arabic and Hebrew letters, of general punctuation and of emoji, when each byte is
# read as a character of Latin-1 or Windows-1252. Leads whose products are plausible text (`à «` is one) are left out.
_CONTINUATION = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
MOJIBAKE = re.compile(f"[ÂÃÄÅÎÏÐÑØÙ×]{_CONTINUATION}|[âï][€‚\x80-\x82¿»]{_CONTINUATION}|ð[Ÿ\x9f]{_CONTINUATION}{{2}}")
_MOJIBAKE_LEADS = [ord(character) for character in "ÂÃÄÅÎÏÐÑØÙ×âïð"]
SCRIPTS_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""One token a character is nothing strange here."""


@dataclass(frozen=True)
class Characters:
    """Counts of characters: all, letters by script (the first word of their Unicode names), and of damage.

    ``decomposed`` and ``composed``: characters that NFC would save, and characters that NFD would take apart.
    """

    n: int
    scripts: dict[str, int]
    newlines: int
    carriage_returns: int
    replacement: int
    byte_order_marks: int
    nuls: int
    controls: int
    """C0 but tab, line feed and carriage return; C1; DEL; no NULs."""
    invisible: int
    """Soft hyphens and characters of no width."""
    private: int
    decomposed: int
    composed: int
    mojibake: int

    @property
    def letters(self) -> int:
        return sum(self.scripts.values())


class CharacterCounter:
    """Adds up texts."""

    def __init__(self) -> None:
        self._counts = np.zeros(CODES, np.int64)
        self._decomposed = 0
        self._mojibake = 0
        self.examples: Counter[str] = Counter()
        """Mojibake as found."""

    def add(self, text: str) -> np.ndarray:
        """Count a text; returns its code points (n,) uint32."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        counts = np.bincount(codes, minlength=0)
        self._counts[: len(counts)] += counts
        if len(counts) > 0x300 and counts[0x300:0x370].any():
            self._decomposed += len(text) - len(unicodedata.normalize("NFC", text))
        if any(lead < len(counts) and counts[lead] for lead in _MOJIBAKE_LEADS):
            found = MOJIBAKE.findall(text)
            self._mojibake += len(found)
            self.examples.update(found)
        return codes

    def result(self) -> Characters:
        """What was counted so far."""
        counts = self._counts
        present = np.flatnonzero(counts)
        scripts: Counter[str] = Counter()
        composed = 0
        for code in present.tolist():
            if name := script_of(chr(code)):
                scripts[name] += int(counts[code])
            if code > 0x7F and _is_composed(chr(code)):
                composed += int(counts[code])

        def total(*codes: int | range) -> int:
            parts = [counts[code.start : code.stop] if isinstance(code, range) else counts[code] for code in codes]
            return int(sum(np.sum(part) for part in parts))

        return Characters(
            n=int(counts.sum()),
            scripts=dict(scripts.most_common()),
            newlines=total(0x0A),
            carriage_returns=total(0x0D),
            replacement=total(REPLACEMENT),
            byte_order_marks=total(BYTE_ORDER_MARK),
            nuls=total(0),
            controls=total(range(1, 9), 0x0B, 0x0C, range(0x0E, 0x20), range(0x7F, 0xA0)),
            invisible=total(0xAD, range(0x200B, 0x2010), 0x2060),
            private=total(range(0xE000, 0xF900)),
            decomposed=self._decomposed,
            composed=composed,
            mojibake=self._mojibake,
        )


@functools.lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str:
    """The script of a letter (LATIN, ARABIC, CJK, …), by its Unicode name; empty for anything else."""
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").partition(" ")[0]
    return name.partition("-")[0] or "UNKNOWN"


@functools.lru_cache(maxsize=1 << 16)
def _is_composed(character: str) -> bool:
    parts = unicodedata.decomposition(character)
    return bool(parts) and not parts.startswith("<") and " " in parts
