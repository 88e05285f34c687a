"""How far one way to adapt differs from another on one text, and what its interval is made over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.stats import t_interval
from odyssey_tui.services.matrix_source import same_documents

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.matrix_values import Score
    from store.database import Connection

OVER_SEEDS, OVER_DOCUMENTS = "t", "documents"
ENOUGH_SEEDS = 3
"""From so many common seeds on, a difference is judged by how it varies over them."""


@dataclass(frozen=True)
class Against:
    """A way's loss minus the plain one's on one text, nats per token, over the seeds that both have."""

    mean: float
    low: float | None
    high: float | None
    over: str
    """``t`` over seeds, or ``documents``; why there is no interval where there is none."""
    n: int
    """Of seeds, or of documents."""
    n_seeds: int

    @property
    def how(self) -> str:
        """``t, 3 seeds`` or ``8 documents, 1 seed``: what the interval was made over."""
        if self.low is None:
            return self.over
        seeds = f"{self.n_seeds} seed{'s' if self.n_seeds > 1 else ''}"
        return f"t, {seeds}" if self.over == OVER_SEEDS else f"{self.n} documents, {seeds}"

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def compare(con: Connection, plain: Mapping[int | None, Score], other: Mapping[int | None, Score]) -> Against | None:
    """The difference of two ways on one text; None without a common seed.

    A seed stands for one base state and one order of the data, so that the difference is taken within seeds. From
    three seeds on its interval is Student's over them; of fewer it is a bootstrap over documents, seeds held fixed.
    """
    seeds = [seed for seed in plain if seed in other and plain[seed].before == other[seed].before]
    changes = [other[seed].loss - plain[seed].loss for seed in seeds]  # type: ignore[operator]
    if not seeds:
        return None
    if len(seeds) >= ENOUGH_SEEDS:
        found = t_interval(changes)
        return Against(found.mean or 0.0, found.low, found.high, OVER_SEEDS, len(seeds), len(seeds))
    pairs = [replace(other[seed], before=plain[seed].after) for seed in seeds]
    interval: MeanDifference | None = same_documents(con, [pairs])[0]
    mean = sum(changes) / len(changes)
    if interval is None or interval.low is None:
        reason = "no losses by document" if interval is None else interval.reason
        return Against(mean, None, None, reason, 0, len(seeds))
    return Against(mean, interval.low, interval.high, OVER_DOCUMENTS, interval.n, len(seeds))
