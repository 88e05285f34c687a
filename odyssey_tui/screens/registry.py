"""The screens behind the number keys; a screen's module is imported when it is first opened."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen


@dataclass(frozen=True)
class Entry:
    """A top-level screen: the key that opens it, its name (also its scope in the keymap) and where its class lives."""

    key: str
    name: str
    title: str
    help: str
    target: str

    def create(self) -> OdysseyScreen:
        """Import the screen's module and make the screen."""
        return self.load()()

    def load(self) -> type[OdysseyScreen]:
        """Import the screen's module; its class."""
        module, _, name = self.target.partition(":")
        screen: type[OdysseyScreen] = getattr(importlib.import_module(module), name)
        return screen

    def load_all(self) -> None:
        """Import what the screen reads with as well, so that its first visit need not."""
        for module in self.load().READS:
            importlib.import_module(module)


SCREENS: tuple[Entry, ...] = (
    Entry("1", "runs", "Runs", "what ran, runs and waits", "odyssey_tui.screens.runs:RunsScreen"),
    Entry("2", "compare", "Compare", "marked runs side by side", "odyssey_tui.screens.compare:CompareScreen"),
    Entry("3", "launch", "Launch", "compose and start a sweep", "odyssey_tui.screens.launch:LaunchScreen"),
    Entry("4", "queue", "Queue", "the machine and the line of runs", "odyssey_tui.screens.queue:QueueScreen"),
    Entry("5", "similarity", "Similarity", "ΔL by domain", "odyssey_tui.screens.similarity:SimilarityScreen"),
    Entry("6", "tokens", "Tokens", "which tokens carry ΔL", "odyssey_tui.screens.tokens:TokensScreen"),
    Entry("7", "forecast", "Forecast", "laws and their scores", "odyssey_tui.screens.forecast:ForecastScreen"),
    Entry("8", "plan", "Plan", "limits, the map of mixes and budgets", "odyssey_tui.screens.plan:PlanScreen"),
    Entry("9", "data", "Data", "corpora, evaluation sets, format audits", "odyssey_tui.screens.data:DataScreen"),
)
FURTHER: tuple[Entry, ...] = (
    Entry("", "matrix", "Matrix", "ΔL of every adaptation on every text", "odyssey_tui.screens.matrix:MatrixScreen"),
    Entry("", "repairs", "Repairs", "ways to adapt side by side", "odyssey_tui.screens.repairs:RepairsScreen"),
)
"""Screens without a number: reached from others, and by the palette."""
