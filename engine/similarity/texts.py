"""Texts for a stand-alone comparison: of what the files hold, a random part that is large enough to sample from.

Text is kept in pieces of a few thousand characters, chosen by a hash with the same chance for each, so that files of
any size are read in bounded memory and only what may be sampled is tokenised.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engine.data.sources.base import ReadLog
from engine.evaluate.texts import stream_texts
from store.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

PIECE_CHARACTERS = 2000
CHARACTERS_PER_TOKEN = 4
"""Of English under common vocabularies. Too little for a text of long tokens means fewer windows to choose from."""
ROOM = 8
"""Characters kept for each that the sample needs: windows then come from nearly as many places as there are."""


@dataclass(frozen=True)
class Excerpt:
    """What is kept of a text: ``pieces`` in their order, and the number of the document each is from."""

    pieces: tuple[str, ...]
    documents: NDArray[np.int64]
    n_documents: int
    n_characters: int
    """Of the whole text."""
    digests: frozenset[int]
    """Of its documents."""
    notes: tuple[str, ...] = ()


class Encodes(Protocol):
    """A tokenizer, as far as sampling needs one."""

    def encode(self, texts: Iterable[str]) -> Iterator[NDArray]: ...


@dataclass(frozen=True)
class ExcerptTokens:
    """Token ids [n] of an excerpt, one document after the other without separators, and where each begins."""

    tokens: NDArray[np.integer]
    document_offsets: NDArray[np.int64]

    @classmethod
    def of(cls, excerpt: Excerpt, tokenizer: Encodes) -> ExcerptTokens:
        encoded = list(tokenizer.encode(excerpt.pieces))
        ends = np.cumsum([len(ids) for ids in encoded], dtype=np.int64)
        begins = np.flatnonzero(np.diff(excerpt.documents, prepend=-1))
        offsets = np.append(np.append([0], ends)[begins], ends[-1:])
        return cls(np.concatenate(encoded), offsets)


def budget(samples: int, sample_tokens: int) -> int:
    """Characters to keep of each text."""
    return max(samples * sample_tokens * CHARACTERS_PER_TOKEN * ROOM, 10 * PIECE_CHARACTERS)


def read_excerpt(files: Sequence[str], n_characters: int, seed: int) -> Excerpt:
    """About ``n_characters`` of the files, together one text, or all of it. DataError when there is none."""
    heap: list[tuple[int, int, int, str]] = []  # largest hash first: what is given up first
    kept, total, number, digests, log = 0, 0, 0, set(), ReadLog()
    for text in (text for file in files for text in stream_texts(Path(file).expanduser(), log)):
        total += len(text)
        if text.strip():
            digests.add(_hash(text))
        for place, piece in enumerate(cut(text)):
            heapq.heappush(heap, (-_hash(f"{seed} {number} {place}"), number, place, piece))
            kept += len(piece)
            while len(heap) > 1 and kept - len(heap[0][3]) >= n_characters:
                kept -= len(heapq.heappop(heap)[3])
        number += 1
    if not digests:
        told = "".join(f"; {note}" for note in log.skipped_notes())
        raise DataError(f"{', '.join(files)}: no text{told}", "Give files of UTF-8 text, JSON lines or Parquet.")
    chosen = sorted(heap, key=lambda item: item[1:3])
    return Excerpt(
        tuple(piece for *_, piece in chosen),
        np.array([document for _, document, _, _ in chosen], dtype=np.int64),
        number,
        total,
        frozenset(digests),
        tuple(log.skipped_notes()),
    )


def cut(text: str) -> Iterator[str]:
    """Pieces that joined are the text, of ``PIECE_CHARACTERS`` or less, cut before a line end or space if possible."""
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        end = start + PIECE_CHARACTERS
        at = max(text.rfind("\n", start + 1, end), text.rfind(" ", start + 1, end))
        yield text[start : at if at > start else end]
        start = at if at > start else end
    if start < len(text):
        yield text[start:]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
