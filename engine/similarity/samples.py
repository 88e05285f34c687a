"""Samples of a corpus for similarity: windows of equal length, drawn without replacement, with the document of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.spec.strict import content_key
from store.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FEWEST_WINDOWS = 8
FEWEST_GROUPS = 10
"""Fewer documents than this would make a meaningless document bootstrap; the windows themselves are resampled then."""


class Tokens(Protocol):
    """Token ids [n] of a corpus, documents one after another, and where each begins."""

    tokens: NDArray[np.integer]
    document_offsets: ArrayLike


@dataclass(frozen=True)
class Sample:
    """``windows`` [n, length] token ids and ``groups`` [n], the units that are resampled together (documents)."""

    name: str
    windows: NDArray[np.int64]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def digest(self) -> str:
        """Identifies the windows and what is resampled together, whatever the sample is called."""
        parts = (np.ascontiguousarray(part, dtype=np.int64) for part in (self.windows, self.groups))
        digest = hashlib.sha256(str(self.windows.shape).encode())
        for part in parts:
            digest.update(part.tobytes())
        return digest.hexdigest()[:32]


def count_windows(streams: Sequence[Tokens], length: int) -> int:
    """The largest sample that equal shares over the streams allow."""
    return len(streams) * min(len(stream.tokens) // length for stream in streams)


def draw_sample(name: str, streams: Sequence[Tokens], count: int, length: int, seed: int) -> Sample:
    """Draw ``count`` non-overlapping windows of ``length`` tokens in equal shares over the streams.

    A window belongs to the document it starts in. The first streams take one window more when the shares are uneven.
    Raises DataError when a stream is too short.
    """
    rng = np.random.default_rng(seed)
    windows, groups, first_group = [], [], 0
    for position, stream in enumerate(streams):
        share = count // len(streams) + (position < count % len(streams))
        available = len(stream.tokens) // length
        if available < share:
            raise DataError(
                f"{name}: {share} windows of {length} tokens asked for, it holds {available}",
                "Ask for fewer or shorter samples, or give it more text.",
            )
        starts = np.sort(rng.choice(available, size=share, replace=False)) * length
        windows.append(np.asarray(stream.tokens)[starts[:, None] + np.arange(length)].astype(np.int64))
        groups.append(first_group + np.searchsorted(np.asarray(stream.document_offsets), starts, side="right"))
        first_group += len(stream.document_offsets) + 1
    return Sample(name, np.concatenate(windows), resampling_units(np.concatenate(groups)))


def resampling_units(documents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Consecutive numbers of the documents, or one number per window where there are too few documents."""
    found, units = np.unique(documents, return_inverse=True)
    return units if len(found) >= FEWEST_GROUPS else np.arange(len(documents))


def sample_seed(seed: int, role: str, name: str) -> int:
    """A seed of its own for every corpus, which does not depend on what else is sampled."""
    return int(content_key([seed, role, name]), 16)


def equal_size(samples: int, available: Sequence[tuple[str, int]]) -> int:
    """The one sample size for all corpora: ``samples``, or what the smallest corpus can give.

    ``available`` pairs names with window counts. Raises DataError below ``FEWEST_WINDOWS``.
    """
    name, smallest = min(available, key=lambda pair: pair[1])
    if smallest < FEWEST_WINDOWS:
        raise DataError(
            f"{name}: too little text: {smallest} samples of the length asked for, similarity needs {FEWEST_WINDOWS}",
            "Use shorter samples, or give it more text.",
        )
    return min(samples, smallest)
