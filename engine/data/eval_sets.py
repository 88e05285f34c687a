"""Evaluation sets: the held-out text of one or several corpora as one token stream, with each token's place in it.

The stream has no beginning- or end-of-text tokens: documents follow each other directly, as in M2D2's evaluation, and
every token is text, so that losses add up to the documents' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.cache import cached_folder, reading
from engine.data.corpus import CorpusSnapshot, snapshot
from engine.data.encoding import ByteEncoder
from engine.data.tokenizer import LoadedTokenizer
from engine.spec.run import EvalSet
from engine.spec.strict import content_key
from store.errors import DataError
from store.files import read_json, write_json
from store.shards import BLOCK_TOKENS

if TYPE_CHECKING:
    import pyarrow as pa

    from store.workspace import Workspace

EVAL_SET_FORMAT = 1


@dataclass(frozen=True)
class TokenisedEvalSet:
    """The tokens of an evaluation set, all arrays 1-D and aligned.

    ``tokens`` int32; ``document`` int32, from 0 in the order of the stream; ``byte_start``, ``byte_end`` int64: the
    token's bytes within its document. ``n_bytes`` counts the bytes of all tokens.
    """

    eval_set_id: str
    tokens: np.ndarray
    document: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray
    n_bytes: int
    documents: tuple[tuple[str, str, int], ...]
    """Corpus name, document id and bytes of each document."""
    fingerprint: str
    """Identifies the text: the corpora's fingerprints together, whatever the tokenizer and the cut."""

    @property
    def n_documents(self) -> int:
        return len(self.documents)

    def table(self) -> pa.Table:
        """The ``eval_set`` shard: one row per block of ``BLOCK_TOKENS`` consecutive tokens."""
        import pyarrow as pa

        starts = np.arange(0, len(self.tokens), BLOCK_TOKENS)
        offsets = pa.array(np.append(starts, len(self.tokens)), pa.int32())

        def blocks(values: np.ndarray) -> pa.ListArray:
            return pa.ListArray.from_arrays(offsets, pa.array(values))

        return pa.table(
            {
                "eval_set_id": pa.array([self.eval_set_id] * len(starts), pa.string()),
                "block": pa.array(np.arange(len(starts)), pa.int32()),
                "token_ids": blocks(self.tokens),
                "document": blocks(self.document),
                "byte_start": blocks(self.byte_start),
                "byte_end": blocks(self.byte_end),
            }
        )

    def documents_table(self) -> pa.Table:
        """The ``documents`` shard: one row per document."""
        import pyarrow as pa

        corpora, doc_ids, sizes = zip(*self.documents, strict=True)
        return pa.table(
            {
                "eval_set_id": pa.array([self.eval_set_id] * self.n_documents, pa.string()),
                "document": pa.array(range(self.n_documents), pa.int32()),
                "corpus": pa.array(corpora, pa.string()),
                "doc_id": pa.array(doc_ids, pa.string()),
                "n_bytes": pa.array(sizes, pa.int64()),
            }
        )


def tokenise_eval_set(spec: EvalSet, tokenizer: LoadedTokenizer, workspace: Workspace) -> TokenisedEvalSet:
    """The cached evaluation set, tokenised first when there is none.

    Several corpora give the same number of tokens each (as many as the shortest has), their documents interleaved;
    ``max_tokens`` cuts the whole, inside a document if need be. With ``max_bytes`` shares and cut are of text instead,
    the same whatever the tokenizer. ``eval_set_id`` is a key of the content: sets that hold
    the same tokens share it whatever they are called.
    Raises DataError when a corpus has no text in the split.
    """
    sources = [snapshot(corpus, workspace) for corpus in spec.corpora]
    content = [EVAL_SET_FORMAT, _texts(spec, sources), spec.split, tokenizer.tokenizer_id]
    key = content_key([*content, spec.max_tokens, *([spec.max_bytes] if spec.max_bytes else [])])
    folder = cached_folder(
        workspace.cache / "eval_sets" / key, lambda temporary: _build(spec, key, sources, tokenizer, temporary)
    )
    with reading(folder):
        return _load(folder)


def join_lines(text: str) -> str:
    """The lines that hold anything, stripped and joined by one space; a line end at the very end becomes one, too.

    Documents that are consecutive pieces of one text stay apart that way.
    """
    joined = " ".join(line for line in map(str.strip, text.split("\n")) if line)
    return f"{joined} " if joined and text.endswith("\n") else joined


def _texts(spec: EvalSet, sources: list[CorpusSnapshot]) -> list[str]:
    """What identifies the text, whatever the tokenizer and the cut."""
    return [source.fingerprint for source in sources] + ([] if spec.join == "newline" else [spec.join])


@dataclass(frozen=True)
class _Tokenised:
    """One document and where each of its tokens ends, in bytes."""

    corpus: str
    doc_id: str
    ids: np.ndarray
    ends: np.ndarray


def _build(spec: EvalSet, key: str, sources: list[CorpusSnapshot], tokenizer: LoadedTokenizer, folder: Path) -> None:
    import pyarrow.parquet as pq

    documents = _by_bytes(spec, sources, tokenizer) if spec.max_bytes else _by_tokens(spec, sources, tokenizer)
    starts = [np.concatenate([[0], document.ends[:-1]]) for document in documents]
    result = TokenisedEvalSet(
        eval_set_id=key,
        tokens=np.concatenate([document.ids for document in documents]).astype(np.int32),
        document=np.repeat(np.arange(len(documents), dtype=np.int32), [len(document.ids) for document in documents]),
        byte_start=np.concatenate(starts).astype(np.int64),
        byte_end=np.concatenate([document.ends for document in documents]),
        n_bytes=int(sum(document.ends[-1] for document in documents)),
        documents=tuple((document.corpus, document.doc_id, int(document.ends[-1])) for document in documents),
        fingerprint=content_key(_texts(spec, sources)),
    )
    pq.write_table(result.table(), folder / "eval_set.parquet", compression="zstd")
    pq.write_table(result.documents_table(), folder / "documents.parquet", compression="zstd")
    manifest = {
        "eval_set_id": key,
        "split": spec.split,
        "tokenizer_id": tokenizer.tokenizer_id,
        "fingerprint": result.fingerprint,
        "n_tokens": len(result.tokens),
        "n_bytes": result.n_bytes,
        "n_documents": result.n_documents,
    }
    write_json(folder / "manifest.json", manifest)


def _by_tokens(spec: EvalSet, sources: list[CorpusSnapshot], tokenizer: LoadedTokenizer) -> list[_Tokenised]:
    limit = None if spec.max_tokens is None else -(-spec.max_tokens // len(sources))
    per_corpus = [_tokenise(source.name, _read(source, spec), spec, tokenizer, limit) for source in sources]
    available = [sum(len(document.ids) for document in documents) for documents in per_corpus]
    share = min(available)
    if limit is not None and share >= limit:
        shares = _shares(spec.max_tokens or 0, len(sources))
    else:
        shares = [share] * len(sources)
    kept = [_cut(documents, n) for documents, n in zip(per_corpus, shares, strict=True)]
    return _interleave(kept, lambda document: len(document.ids))


def _by_bytes(spec: EvalSet, sources: list[CorpusSnapshot], tokenizer: LoadedTokenizer) -> list[_Tokenised]:
    share = (spec.max_bytes or 0) // len(sources)
    read = [_head(_read(source, spec), share) for source in sources]
    shortest = min(sum(len(text.encode()) for _, text in texts) for texts in read)
    kept = [
        _tokenise(source.name, _head(texts, shortest), spec, tokenizer)
        for source, texts in zip(sources, read, strict=True)
    ]
    return _interleave(kept, lambda document: int(document.ends[-1]))


def _read(source: CorpusSnapshot, spec: EvalSet) -> Iterator[tuple[str, str]]:
    """Id and text of the documents, joined as asked."""
    for document in source.documents(spec.split):
        yield document.doc_id, join_lines(document.text) if spec.join == "space" else document.text


def _head(texts: Iterable[tuple[str, str]], n_bytes: int) -> list[tuple[str, str]]:
    """The first texts, ``n_bytes`` long together; the last one cut before a character that does not fit."""
    kept = []
    for doc_id, text in texts:
        if n_bytes <= 0:
            break
        content = text.encode()
        kept.append((doc_id, text if len(content) <= n_bytes else content[:n_bytes].decode(errors="ignore")))
        n_bytes -= len(content)
    return kept


def _load(folder: Path) -> TokenisedEvalSet:
    import pyarrow.parquet as pq

    manifest = read_json(folder / "manifest.json")
    table = pq.read_table(folder / "eval_set.parquet")
    documents = pq.read_table(folder / "documents.parquet", columns=["corpus", "doc_id", "n_bytes"])

    def column(name: str) -> np.ndarray:
        return table[name].combine_chunks().flatten().to_numpy()

    return TokenisedEvalSet(
        eval_set_id=manifest["eval_set_id"],
        tokens=column("token_ids"),
        document=column("document"),
        byte_start=column("byte_start"),
        byte_end=column("byte_end"),
        n_bytes=manifest["n_bytes"],
        documents=tuple(zip(*(column.to_pylist() for column in documents.columns), strict=True)),
        fingerprint=manifest["fingerprint"],
    )


def _tokenise(
    corpus: str,
    texts: Iterable[tuple[str, str]],
    spec: EvalSet,
    tokenizer: LoadedTokenizer,
    limit: int | None = None,
) -> list[_Tokenised]:
    """Documents of one corpus, until they hold ``limit`` tokens."""
    encoder = ByteEncoder.of(tokenizer)
    found: list[_Tokenised] = []
    held = 0
    for doc_id, text in texts:
        ids, ends = encoder.encode(text)
        if len(ids):
            found.append(_Tokenised(corpus, doc_id, ids, ends))
            held += len(ids)
        if limit is not None and held >= limit:
            break
    if not found:
        raise DataError(
            f"evaluation set '{spec.name}': the {spec.split} split of corpus '{corpus}' is empty",
            f"Raise its {spec.split}_share, or give it more text.",
        )
    return found


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (1 if part < total % parts else 0) for part in range(parts)]


def _cut(documents: list[_Tokenised], n_tokens: int) -> list[_Tokenised]:
    kept = []
    for document in documents:
        if n_tokens <= 0:
            break
        kept.append(_Tokenised(document.corpus, document.doc_id, document.ids[:n_tokens], document.ends[:n_tokens]))
        n_tokens -= len(document.ids)
    return kept


def _interleave(per_corpus: list[list[_Tokenised]], size: Callable[[_Tokenised], int]) -> list[_Tokenised]:
    """One order of all documents: the next is always of the corpus that has given the least so far."""
    queues = [iter(documents) for documents in per_corpus]
    held = dict.fromkeys(range(len(queues)), 0)
    ordered = []
    while held:
        corpus = min(held, key=lambda number: (held[number], number))
        document = next(queues[corpus], None)
        if document is None:
            del held[corpus]
        else:
            held[corpus] += size(document)
            ordered.append(document)
    return ordered
