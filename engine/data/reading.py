"""Reading a source to the end of what is wanted: line ends, duplicates, the cut at ``max_bytes``."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.data.sources.base import RawDocument, ReadLog, Source, Split, hash_order
from engine.data.sources.registry import open_source
from engine.spec.run import Corpus
from store.errors import DataError


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document that is not empty and not a duplicate; ``digest`` identifies its text whatever its whitespace."""

    doc_id: str
    group: str
    text: str
    path: str
    split: Split | None
    digest: str
    n_bytes: int

    def with_text(self, text: str, suffix: str = "") -> ReadDocument:
        """The document with another text (a piece, or other newlines)."""
        return replace(
            self, doc_id=self.doc_id + suffix, text=text, n_bytes=len(text.encode()), digest=text_digest(text)
        )


@dataclass(frozen=True)
class ReadCorpus:
    """What a source gave."""

    documents: list[ReadDocument]
    origin: str
    joined: bool
    duplicates: int
    skipped: dict[str, int]
    notes: list[str]


def read_corpus(corpus: Corpus) -> ReadCorpus:
    """Read ``corpus.source``. Raises DataError when it holds no text."""
    log = ReadLog()
    source = open_source(corpus, log)
    reader = _Reader(log)
    kept = _keep(reader.documents(source), source, source.max_bytes or corpus.max_bytes, log)
    notes = [*log.notes, *log.skipped_notes()]
    if not kept:
        reason = "; ".join(notes)
        raise DataError(
            f"corpus '{corpus.name}': no readable text in {source.origin}",
            f"{reason[:1].upper()}{reason[1:]}." if reason else "It is empty.",
        )
    return ReadCorpus(kept, source.origin, source.joined, reader.duplicates, dict(log.skipped), notes)


def text_digest(text: str) -> str:
    """SHA-256 (32 digits) of the text with every run of whitespace as one space."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:32]


class _Reader:
    """Cleans raw documents and drops empty and repeated ones."""

    def __init__(self, log: ReadLog) -> None:
        self._log = log
        self._seen: set[str] = set()
        self.duplicates = 0

    def documents(self, source: Source) -> Iterator[ReadDocument]:
        for raw in source.documents:
            text = self._clean(raw)
            if not text.strip():
                self._log.skip("empty", raw.path)
                continue
            digest = text_digest(text)
            # Held-out splits of a published dataset stay whole, so that their losses compare with others'.
            if digest in self._seen and raw.split in (None, "train"):
                self.duplicates += 1
                continue
            self._seen.add(digest)
            yield ReadDocument(raw.doc_id, raw.group, text, raw.path, raw.split, digest, len(text.encode()))

    def _clean(self, raw: RawDocument) -> str:
        text = raw.text.replace("\r\n", "\n")
        try:
            text.encode()
        except UnicodeEncodeError:
            self._log.note("lone surrogates were replaced by U+FFFD")
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text


def _keep(documents: Iterator[ReadDocument], source: Source, max_bytes: int | None, log: ReadLog) -> list[ReadDocument]:
    if max_bytes is None:
        return list(documents)
    return _first(documents, max_bytes, log) if source.stops_early else _sample(documents, max_bytes, log)


def _first(documents: Iterator[ReadDocument], max_bytes: int, log: ReadLog) -> list[ReadDocument]:
    """Documents up to ``max_bytes``; sources with splits of their own have cut each split themselves."""
    kept: list[ReadDocument] = []
    held = 0
    for document in documents:
        if document.split is None and held + document.n_bytes > max_bytes:
            kept.extend(_cut(document, max_bytes - held))
            log.note(f"cut at {max_bytes:,} bytes")
            break
        kept.append(document)
        held += document.n_bytes
    return kept


def _sample(documents: Iterator[ReadDocument], max_bytes: int, log: ReadLog) -> list[ReadDocument]:
    """The documents with the smallest hashes that fit, in bounded memory (one document more than ``max_bytes``)."""
    heap: list[tuple[bytes, int, ReadDocument]] = []
    held = 0
    dropped = False
    for number, document in enumerate(documents):
        rank = bytes(255 - byte for byte in hash_order(document.doc_id))  # heapq pops the smallest: the latest hash
        heapq.heappush(heap, (rank, -number, document))
        held += document.n_bytes
        while len(heap) > 1 and held - heap[0][2].n_bytes >= max_bytes:
            held -= heapq.heappop(heap)[2].n_bytes
            dropped = True
    chosen = [document for _, _, document in sorted(heap, reverse=True, key=lambda entry: entry[:2])]
    if held > max_bytes:
        last = chosen.pop()
        chosen.extend(_cut(last, max_bytes - (held - last.n_bytes)))
        dropped = True
    if dropped:
        log.note(f"a sample of {max_bytes:,} bytes, documents chosen by the hash of their id")
    return chosen


def _cut(document: ReadDocument, n_bytes: int) -> list[ReadDocument]:
    piece = document.text.encode()[:n_bytes].decode(errors="ignore")
    end = piece.rfind("\n") + 1
    piece = piece[:end] if end else piece
    return [document.with_text(piece)] if piece.strip() else []
