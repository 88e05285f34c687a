"""Which scripts a vocabulary can write."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from engine.audit.characters import SCRIPTS_WITHOUT_SPACES, Characters, script_of


@dataclass(frozen=True)
class Letters:
    """Letters of each type by script, those of whole characters; ``pieces``: types that are part of a character."""

    by_script: dict[str, np.ndarray]
    several: np.ndarray
    pieces: np.ndarray

    @classmethod
    def of(cls, content: tuple[bytes, ...]) -> Letters:
        """The letters of every token type."""
        by_script: dict[str, np.ndarray] = {}
        several, pieces = np.zeros(len(content), bool), np.zeros(len(content), bool)
        for index, raw in enumerate(content):
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                pieces[index] = True
                text = raw.decode(errors="ignore")
            scripts = Counter(filter(None, map(script_of, text)))
            several[index] = scripts.total() > 1
            for script, letters in scripts.items():
                by_script.setdefault(script, np.zeros(len(content), np.int64))[index] = letters
        return cls(by_script, several, pieces)

    def vocabulary_shares(self) -> dict[str, float]:
        """Of the types with several letters, the share that each script has; of scripts with one word a letter, of
        the types that have a letter."""
        total = max(1, int(self.several.sum()))
        return {
            script: int(((letters > 0) & (self.several | (script in SCRIPTS_WITHOUT_SPACES))).sum()) / total
            for script, letters in self.by_script.items()
        }

    def written(self, script: str, counts: np.ndarray, text: Characters, times: float) -> tuple[float, float]:
        """Share of the script's letters that stand in whole tokens, and letters a token, pieces included; the tokens
        are of ``times`` as much text as the characters."""
        letters = times * text.scripts[script]
        own = self.by_script.get(script, np.zeros(len(counts), np.int64))
        whole = min(int((own * counts).sum()), letters)
        beyond = times * (text.letters - text.scripts.get("LATIN", 0))
        # Pieces are shared out among the letters that are not whole, by number.
        share = min(1.0, (letters - whole) / max(1, beyond))
        tokens = int(counts[own > 0].sum()) + share * int(counts[self.pieces].sum())
        return whole / max(1, letters), letters / max(1.0, tokens)
