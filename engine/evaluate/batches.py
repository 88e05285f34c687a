"""Batches of windows of one length: what is fed to the model, and which of its outputs predict which tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.evaluate.windows import Window


@dataclass(frozen=True)
class Batch:
    """Windows of one length, one row each."""

    windows: tuple[Window, ...]

    def inputs(self, tokens: NDArray[np.integer], bos_id: int | None) -> NDArray[np.int64]:
        """Token ids (windows, length) of the stream ``tokens`` (n,), after BOS where a window has it."""
        inputs = np.empty((len(self.windows), self.windows[0].length), dtype=np.int64)
        for row, window in enumerate(self.windows):
            if window.bos:
                inputs[row, 0] = bos_id
            inputs[row, int(window.bos) :] = tokens[window.start : window.stop]
        return inputs

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Places in the stream of the tokens that are predicted, in the order of ``rows``."""
        return np.concatenate([np.arange(window.first, window.last) for window in self.windows])

    @property
    def rows(self) -> NDArray[np.int64]:
        """Of the positions of all rows, one row after another, those whose outputs predict them."""
        length = self.windows[0].length
        return np.concatenate(
            [
                np.arange(window.last - window.first) + (row * length + window.first_row)
                for row, window in enumerate(self.windows)
            ]
        )

    @property
    def n_predicted(self) -> int:
        return sum(window.last - window.first for window in self.windows)


def plan_batches(windows: Sequence[Window], batch_tokens: int) -> Iterator[Batch]:
    """Consecutive windows of one length that predict anything, about ``batch_tokens`` positions together."""
    for length, group in groupby((w for w in windows if w.last > w.first), key=lambda window: window.length):
        alike = list(group)
        size = max(1, batch_tokens // length)
        for first in range(0, len(alike), size):
            yield Batch(tuple(alike[first : first + size]))
