"""What a pair's losses token by token tell, gathered in one scan: passages, the curve over positions, classes.

Intervals are paired bootstraps over documents (``engine.stats``): a resample draws documents with all their tokens,
from both evaluations at once. A class's contribution is divided by all positions T, as c_v is, so that classes add up
to ΔL; a masked ΔL by the positions that are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.stats import MeanDifference, bootstrap_ratios
from odyssey_tui.services.ledger import CLASSES

if TYPE_CHECKING:
    from odyssey_tui.services.ledger import Ledger
    from odyssey_tui.services.tokens import Source, TokenReport
    from store.queries.passages import Passage as Place

PASSAGES = 200
"""Passages that are listed of each kind."""
BUCKETS = 64
"""Points of a curve over positions at most."""


@dataclass(frozen=True, eq=False)
class PositionCurve:
    """Mean losses by position: arrays of shape (buckets,), nats per token; ``position`` is the start of a bucket."""

    position: np.ndarray
    count: np.ndarray
    before: np.ndarray
    after: np.ndarray
    title: str
    """What positions count."""
    width: int
    """Positions in a bucket."""

    @property
    def delta(self) -> np.ndarray:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True, eq=False)
class ClassTable:
    """By document and class (as in ``CLASSES``), of shape (documents, classes): positions, and Σ(ℓ1 − ℓ0) in nats."""

    count: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True, eq=False)
class Details:
    """What one scan gathers; ``rising`` and ``falling`` are passages, the largest change first."""

    rising: tuple[Place, ...]
    falling: tuple[Place, ...]
    curve: PositionCurve
    classes: ClassTable


@dataclass(frozen=True)
class Changed:
    """Passages where chosen token types rise, and where they fall, the largest change first."""

    rising: tuple[Place, ...]
    falling: tuple[Place, ...]


def read_details(source: Source) -> Details:
    """Scan the pair once. Raises OdysseyError where only sums are kept."""
    from store.pair_sums import ClassSums, PassageSums, PositionSums
    from store.queries.passages import list_passages

    ledger = source.report.ledger
    axis = source.read_axis()
    width = max(1, -(-axis.length // BUCKETS))
    passages, positions = PassageSums(), PositionSums(axis.context_of, width)
    classes = ClassSums(class_of(ledger), len(CLASSES))
    source.scan(passages, positions, classes)
    _, count, delta = classes.tables()
    return Details(
        tuple(list_passages(passages, PASSAGES)),
        tuple(list_passages(passages, PASSAGES, falling=True)),
        PositionCurve(**positions.columns(), title=axis.title, width=width),
        ClassTable(count, delta),
    )


def seek_types(source: Source, token_ids: frozenset[int]) -> Changed:
    """The passages where these token types change most; those where they rise and where they fall apart."""
    from store.pair_sums import PassageSums, choose
    from store.queries.passages import list_passages

    sums = PassageSums(choose(token_ids))
    source.scan(sums)
    rising, falling = (list_passages(sums, PASSAGES, falling=falling) for falling in (False, True))
    return Changed(
        tuple(place for place in rising if place.sum_delta > 0),
        tuple(place for place in falling if place.sum_delta < 0),
    )


def bootstrap_report(report: TokenReport) -> MeanDifference:
    """ΔL with its interval."""
    return bootstrap_ratios(report.documents["sum_delta"][:, None], report.documents["count"])[0]


def bootstrap_classes(table: ClassTable) -> Mapping[str, MeanDifference]:
    """The contribution of every class that occurs, with its interval."""
    found = bootstrap_ratios(table.delta, table.count.sum(axis=1))
    there = table.count.any(axis=0)
    return {name: one for name, one, occurs in zip(CLASSES, found, there, strict=True) if occurs}


def bootstrap_masked(source: Source, token_ids: frozenset[int], table: ClassTable | None = None) -> MeanDifference:
    """ΔL over the positions whose type is not masked, with its interval.

    Whole classes are left out of ``table`` where it is given; for other masks the pair is scanned.
    """
    from store.pair_sums import DocumentSums, choose

    report = source.report
    whole = report.ledger.classes_in(token_ids)
    if table is not None and whole is not None:
        kept = np.array([name not in whole for name in CLASSES])
        return bootstrap_ratios(table.delta[:, kept].sum(axis=1)[:, None], table.count[:, kept].sum(axis=1))[0]
    sums = DocumentSums(choose(token_ids))
    source.scan(sums)
    gone = sums.columns()
    documents = report.documents
    count, delta = documents["count"].astype(np.int64), documents["sum_delta"].astype(np.float64)
    rows = np.searchsorted(documents["document"], gone["document"])
    count[rows] -= gone["count"]
    delta[rows] -= gone["sum_delta"]
    return bootstrap_ratios(delta[:, None], count)[0]


def without_tokens(report: TokenReport) -> MeanDifference:
    """What stands for an interval where only sums are kept."""
    return MeanDifference(None, None, None, report.n_documents, "only sums are kept: no interval")


def class_of(ledger: Ledger) -> np.ndarray:
    """The class of every token id as its place in ``CLASSES``; ids that do not occur are ``other``, as is the last."""
    codes = np.full(int(ledger.token_ids.max(initial=-1)) + 2, CLASSES.index("other"), np.int8)
    codes[ledger.token_ids] = ledger.class_codes
    return codes
