"""Snapshots: a corpus read once, deduplicated, split, and kept in the cache with an account of where it came from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.data.cache import cached_folder, reading
from engine.data.reading import ReadCorpus, ReadDocument, read_corpus
from engine.data.sources import paths
from engine.data.sources.base import SPLITS, Split, hash_order
from engine.data.sources.registry import is_path
from engine.data.split import assign_splits, choose_part, cut_points
from engine.spec.run import Corpus
from store.errors import DataError
from store.files import read_json, write_json

if TYPE_CHECKING:
    import pyarrow as pa

    from store.workspace import Workspace

DOCUMENTS = "documents.parquet"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a snapshot, newlines as the corpus asks."""

    doc_id: str
    group: str
    text: str


@dataclass(frozen=True)
class CorpusSnapshot:
    """A cached corpus. ``manifest`` holds the fields of the ``corpus`` event, notes and provenance."""

    path: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The corpus's name in its experiment."""
        return self.manifest["name"]

    @property
    def fingerprint(self) -> str:
        """Identifies the content: the same documents in the same splits give the same fingerprint."""
        return self.manifest["fingerprint"]

    @property
    def joined(self) -> bool:
        """Whether the documents are consecutive pieces of one text, with no separator between them."""
        return self.manifest["joined"]

    def documents(self, split: Split) -> Iterator[Document]:
        """The documents of ``split`` in the snapshot's order."""
        table = self.table(split, ["doc_id", "group", "text"])
        columns = (table[name].to_pylist() for name in ("doc_id", "group", "text"))
        for doc_id, group, text in zip(*columns, strict=True):
            yield Document(doc_id, group, text)

    def table(self, split: Split, columns: list[str]) -> pa.Table:
        """Columns of the documents of ``split``: doc_id, group, path, text, n_bytes, digest."""
        import pyarrow.parquet as pq

        with reading(self.path):
            return pq.read_table(self.path / DOCUMENTS, columns=columns, filters=[("split", "==", split)])


def snapshot(corpus: Corpus, workspace: Workspace) -> CorpusSnapshot:
    """The cached snapshot of ``corpus``, built first when there is none.

    Line ends become ``\\n``; empty documents and documents whose text is known already (whitespace aside) are dropped.
    Groups never cross a split. Splits and duplicates are settled before ``newlines`` is applied, so that the kept and
    the stripped form of one corpus are split alike.
    Raises DataError when the source cannot be read or holds no text, ConfigError when its name is wrong.
    """
    folder = cached_folder(snapshot_folder(corpus, workspace), lambda temporary: _build(corpus, temporary))
    with reading(folder):
        manifest = read_json(folder / MANIFEST)
        missing = {"name", "fingerprint", "joined", "source_state"} - set(dict(manifest))
        if missing:
            raise DataError(f"{MANIFEST} lacks {', '.join(sorted(missing))}")
        return CorpusSnapshot(folder, manifest)


def snapshot_folder(corpus: Corpus, workspace: Workspace) -> Path:
    """Where the snapshot of ``corpus`` is, or will be."""
    return workspace.cache / "corpora" / corpus.key()


def is_stale(corpus: Corpus, taken: CorpusSnapshot) -> bool:
    """Whether the files of ``corpus`` are not those the snapshot was taken of; never true of other kinds of source."""
    now = _source_state(corpus)
    return now is not None and now != taken.manifest["source_state"]


def _source_state(corpus: Corpus) -> str | None:
    return paths.state(corpus) if is_path(corpus) else None


def _build(corpus: Corpus, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = read_corpus(corpus)
    if corpus.part is not None:
        read = replace(read, documents=_part(corpus, read))
    rows = _split(corpus, read)
    if corpus.newlines == "strip":
        rows = [(split, document.with_text(_strip(document.text))) for split, document in rows]
    rows = [(split, document) for split, document in rows if document.text]
    if not rows:
        raise DataError(
            f"corpus '{corpus.name}': no readable text in {read.origin}",
            "; ".join(read.notes) or "Every document is empty.",
        )
    rows.sort(key=lambda row: SPLITS.index(row[0]))
    columns = {
        "split": [split for split, _ in rows],
        "group": [document.group for _, document in rows],
        "doc_id": [document.doc_id for _, document in rows],
        "path": [document.path for _, document in rows],
        "text": [document.text for _, document in rows],
        "n_bytes": [document.n_bytes for _, document in rows],
        "digest": [document.digest for _, document in rows],
    }
    pq.write_table(pa.table(columns), folder / DOCUMENTS, compression="zstd")
    write_json(folder / MANIFEST, _manifest(corpus, read, rows))


def _split(corpus: Corpus, read: ReadCorpus) -> list[tuple[Split, ReadDocument]]:
    documents = read.documents
    if any(document.split is not None for document in documents):
        return [(document.split or "train", document) for document in documents]
    documents = documents if read.joined else sorted(documents, key=lambda document: hash_order(document.doc_id))
    if len(documents) == 1 and corpus.test_share + corpus.valid_share > 0:
        read.notes.append("a single document: split by position, at line ends")
        return _by_position(corpus, documents[0])
    groups = [document.group for document in documents]
    if len(set(groups)) == 1 and corpus.test_share + corpus.valid_share > 0:
        read.notes.append(f"a single group ('{groups[0]}'): split by document")
        groups = [document.doc_id for document in documents]
    sizes: Counter[str] = Counter()
    for group, document in zip(groups, documents, strict=True):
        sizes[group] += document.n_bytes
    splits = assign_splits(sizes, test_share=corpus.test_share, valid_share=corpus.valid_share, seed=corpus.split_seed)
    _note_shares(corpus, splits, sizes, read)
    return [(splits[group], document) for group, document in zip(groups, documents, strict=True)]


def _part(corpus: Corpus, read: ReadCorpus) -> list[ReadDocument]:
    """The documents of the part that is asked for: whole groups, or documents where one group is all there is."""
    number, parts = map(int, (corpus.part or "1/1").split("/"))
    alone = len({document.group for document in read.documents}) == 1

    def unit(document: ReadDocument) -> str:
        return document.doc_id if alone else document.group

    sizes: dict[Split | None, Counter[str]] = {}
    for document in read.documents:
        sizes.setdefault(document.split, Counter())[unit(document)] += document.n_bytes
    # Each of the splits that a published dataset brings is divided by itself.
    chosen = {split: choose_part(of_split, number, parts) for split, of_split in sizes.items()}
    kept = [document for document in read.documents if unit(document) in chosen[document.split]]
    read.notes.append(f"part {corpus.part}: {len(kept)} of {len(read.documents)} documents")
    if not kept:
        held = f"{len({unit(document) for document in read.documents})} {'documents' if alone else 'groups'}"
        raise DataError(
            f"corpus '{corpus.name}': part {corpus.part} is empty: there are {held}",
            "Divide it into fewer parts, or give it more text.",
        )
    return kept


def _by_position(corpus: Corpus, document: ReadDocument) -> list[tuple[Split, ReadDocument]]:
    text = document.text
    valid_at, test_at = cut_points(text, test_share=corpus.test_share, valid_share=corpus.valid_share)
    pieces = zip(SPLITS, (text[:valid_at], text[valid_at:test_at], text[test_at:]), strict=True)
    return [(split, document.with_text(piece, f"#{split}")) for split, piece in pieces if piece]


def _note_shares(corpus: Corpus, splits: dict[str, Split], sizes: Counter[str], read: ReadCorpus) -> None:
    for split, wanted in (("test", corpus.test_share), ("valid", corpus.valid_share)):
        share = sum(size for group, size in sizes.items() if splits[group] == split) / max(sizes.total(), 1)
        if wanted > 0 and not wanted / 2 <= share <= wanted * 2:
            read.notes.append(f"{split} holds {share:.1%} of the bytes instead of {wanted:.1%}: {len(sizes)} groups")


def _strip(text: str) -> str:
    return "".join(line.strip() for line in text.split("\n"))


def _manifest(corpus: Corpus, read: ReadCorpus, rows: list[tuple[Split, ReadDocument]]) -> dict[str, Any]:
    content = hashlib.sha256()
    for split, document in rows:
        for part in (split, document.group, document.doc_id, document.text):
            content.update(hashlib.sha256(part.encode()).digest())
    n_bytes: Counter[str] = Counter({split: 0 for split in SPLITS})
    n_documents: Counter[str] = Counter({split: 0 for split in SPLITS})
    for split, document in rows:
        n_bytes[split] += document.n_bytes
        n_documents[split] += 1
    return {
        "corpus_key": corpus.key(),
        "name": corpus.name,
        "source": corpus.source,
        "origin": read.origin,
        "fingerprint": content.hexdigest()[:16],
        "n_documents": len(rows),
        "n_groups": len({document.group for _, document in rows}),
        "bytes": dict(n_bytes),
        "documents": dict(n_documents),
        "duplicates": read.duplicates,
        "skipped": read.skipped,
        "source_state": _source_state(corpus),
        "notes": read.notes,
        "joined": read.joined,
        "provenance": _provenance(rows),
    }


def _provenance(rows: list[tuple[Split, ReadDocument]]) -> dict[str, dict[str, int]]:
    """Documents and bytes by the first part of the group: package, folder, archive. Each row has its own path."""
    counts: dict[str, dict[str, int]] = {}
    for _, document in rows:
        entry = counts.setdefault(document.group.split("/")[0], {"documents": 0, "bytes": 0})
        entry["documents"] += 1
        entry["bytes"] += document.n_bytes
    return dict(sorted(counts.items(), key=lambda item: -item[1]["bytes"])[:64])
