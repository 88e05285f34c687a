"""What can be said of a text without a tokenizer, document by document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from engine.audit.characters import CharacterCounter, Characters
from engine.audit.lines import LineCounter, Lines
from engine.audit.shingles import Wanted, hash_shingles, hash_words, minima, normalise, repeats
from engine.data.token_classes import readable

BATCH_CHARACTERS = 4_000_000
DOCUMENTS_COMPARED = 200_000
"""Near-duplicates within a text are looked for among so many documents: 512 bytes each."""
CONTAINED = 0.8
"""A document of which this share of 8-grams stands in the training text is contained in it."""
SAMPLES, SAMPLE_CHARACTERS = 3, 160


@dataclass(frozen=True)
class Repeats:
    """Documents that repeat an earlier one of the same text, whatever case, marks and whitespace."""

    exact: int
    near: int
    """Of ``compared`` (those with eight words or more): word for word, or nearly."""
    compared: int


@dataclass(frozen=True)
class TextFacts:
    """Counts of one text. Quantiles are of bytes a document: smallest, tenth, half, ninth tenth, largest."""

    documents: int
    n_bytes: int
    words: int
    characters: Characters
    lines: Lines
    quantiles: tuple[int, int, int, int, int]
    repeats: Repeats
    sample: tuple[str, ...]
    mojibake: tuple[str, ...]
    """The commonest damage, as it stands there."""

    @property
    def newlines_per_1000(self) -> float:
        """Line ends in 1,000 characters."""
        return self.lines.per_1000(self.characters.n)


@dataclass(frozen=True)
class Overlap:
    """What of an evaluation text stands in the training text too."""

    exact: int
    """Its documents that a training document equals, whatever case, marks and whitespace."""
    contained: int
    """Documents of which ``CONTAINED`` of the word 8-grams occur in training, those in ``exact`` included."""
    documents: int
    contained_bytes: int
    n_bytes: int
    shingles: int
    """Word 8-grams of the evaluation text."""
    shingles_seen: int
    """Of those, how many occur in training."""
    same: bool
    """Whether the two texts are the same from beginning to end."""
    compared_bytes: int
    """Bytes of training text that were looked through."""


class Scan:
    """Takes documents one by one; ``keep`` for a text in which others will be looked for, ``wanted`` to look."""

    def __init__(self, *, keep: bool = False, wanted: Wanted | None = None) -> None:
        self._characters, self._lines = CharacterCounter(), LineCounter()
        self._keep, self._wanted = keep, wanted
        self._sizes: list[int] = []
        self._words = 0
        self._digests: list[bytes] = []
        self._signatures: list[np.ndarray] = []
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        self._sample: list[str] = []
        self._waiting: list[str] = []
        self._waiting_characters = 0
        self._whole = hashlib.blake2b(digest_size=16)

    def add(self, document: str) -> None:
        """Take one document."""
        codes = self._characters.add(document)
        self._lines.add(document, codes)
        content = document.encode("utf-8", "surrogatepass")
        self._whole.update(content)
        self._sizes.append(len(content))
        if len(self._sample) < SAMPLES:
            self._sample.extend(_sample(document))
        normalised = normalise(document)
        self._digests.append(hashlib.blake2b(normalised.replace(" ", "").encode(), digest_size=8).digest())
        self._waiting.append(normalised)
        self._waiting_characters += len(normalised)
        if self._waiting_characters >= BATCH_CHARACTERS:
            self._digest()

    def add_all(self, documents: Iterable[str]) -> Scan:
        """Take all of them."""
        for document in documents:
            self.add(document)
        self._digest()
        return self

    @property
    def wanted(self) -> Wanted:
        """Its 8-grams, to be looked for in another text."""
        return Wanted(np.concatenate([shingles for shingles, _ in self._kept] or [np.empty(0, np.uint64)]))

    def facts(self) -> TextFacts:
        """What was counted."""
        self._digest()
        sizes = np.array(self._sizes or [0])
        signatures = np.concatenate(self._signatures) if self._signatures else np.empty((0, 1), np.uint64)
        quantiles = tuple(int(value) for value in np.quantile(sizes, [0, 0.1, 0.5, 0.9, 1]))
        return TextFacts(
            documents=len(self._sizes),
            n_bytes=int(sizes.sum()),
            words=self._words,
            characters=self._characters.result(),
            lines=self._lines.result(),
            quantiles=quantiles,  # type: ignore[arg-type]
            repeats=Repeats(
                len(self._digests) - len(set(self._digests)),
                int(repeats(signatures).sum()) if len(signatures) else 0,
                len(signatures),
            ),
            sample=tuple(self._sample[:SAMPLES]),
            mojibake=tuple(text for text, _ in self._characters.examples.most_common(5)),
        )

    def overlap(self, training: Scan, wanted: Wanted) -> Overlap:
        """What of this text ``training`` holds, in which ``wanted`` (this text's) was looked for."""
        sizes, trained = np.array(self._sizes or [0]), set(training._digests)
        exact = np.array([digest in trained for digest in self._digests] or [False])
        seen = wanted.seen
        document = np.concatenate([place for _, place in self._kept] or [np.empty(0, np.int64)])
        shingles = np.bincount(document, minlength=len(sizes))
        found = np.bincount(document, weights=seen, minlength=len(sizes))
        contained = exact | ((shingles > 0) & (found >= CONTAINED * shingles))
        return Overlap(
            exact=int(exact.sum()),
            contained=int(contained.sum()),
            documents=len(self._sizes),
            contained_bytes=int(sizes[contained].sum()),
            n_bytes=int(sizes.sum()),
            shingles=int(shingles.sum()),
            shingles_seen=int(seen.sum()),
            same=self._whole.digest() == training._whole.digest(),
            compared_bytes=sum(training._sizes),
        )

    def _digest(self) -> None:
        """Turn the documents that wait into hashes."""
        if not self._waiting:
            return
        words, of_word = hash_words(self._waiting)
        shingles, of_shingle = hash_shingles(words, of_word)
        first = len(self._sizes) - len(self._waiting)
        self._words += len(words)
        if self._wanted is not None:
            self._wanted.look_through(shingles)
        if self._keep:
            self._kept.append((shingles, of_shingle + first))
        if len(shingles) and first < DOCUMENTS_COMPARED:
            begins = np.flatnonzero(np.concatenate([[True], of_shingle[1:] != of_shingle[:-1]]))
            self._signatures.append(minima(shingles, begins))
        self._waiting, self._waiting_characters = [], 0


def _sample(document: str) -> Iterator[str]:
    """The beginning of a document in one line, control characters escaped."""
    start = document[: 2 * SAMPLE_CHARACTERS].lstrip()[:SAMPLE_CHARACTERS]
    if start:
        yield readable(start.encode("utf-8", "surrogatepass"))
