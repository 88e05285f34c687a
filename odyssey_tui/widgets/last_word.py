"""Completion of the last of several words in a line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from textual.suggester import Suggester


class LastWord(Suggester):
    """Completes what follows the last comma, space or bracket from ``words``; → takes the suggestion."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.words = tuple(words)

    async def get_suggestion(self, value: str) -> str | None:
        """The line with its last word completed; None where nothing fits, or nothing is typed of it."""
        beginning = re.split(r"[\s,\[{:]+", value)[-1]
        found = next((word for word in self.words if beginning and word.startswith(beginning)), None)
        return None if found is None or found == beginning else value + found[len(beginning) :]
