"""Token streams: one split of a corpus as token ids, tokenised once and memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.cache import cached_folder, reading
from engine.data.corpus import CorpusSnapshot, snapshot
from engine.data.sources.base import Split
from engine.data.tokenizer import LoadedTokenizer
from engine.spec.run import Corpus, Separator
from engine.spec.strict import content_key
from store.files import read_json, write_json

if TYPE_CHECKING:
    from store.workspace import Workspace

TOKENS_FORMAT = 1


@dataclass(frozen=True)
class TokenStream:
    """The tokens of one split of one corpus, documents one after another.

    ``tokens`` is 1-D (uint16, or uint32 for vocabularies over 65,536), memory-mapped. Each document ends with its
    separator, unless the corpus is one text in pieces. ``document_offsets`` (int64, one more than documents) holds
    where documents begin; its last entry is ``len(tokens)``. ``n_bytes`` counts the text, without separators.
    """

    name: str
    split: Split
    fingerprint: str
    tokens: np.ndarray
    document_offsets: np.ndarray
    n_bytes: int

    def __len__(self) -> int:
        return len(self.tokens)


def token_stream(
    corpus: Corpus, split: Split, tokenizer: LoadedTokenizer, workspace: Workspace, separator: Separator = "eos"
) -> TokenStream:
    """The cached token stream of ``split``, tokenised first when there is none; empty when the split is empty.

    ``separator`` ends every document: the end-of-text token (``eos``), a line end (``newline``: the tokens are those of
    the text with a line end after it, which may merge with its last mark), or nothing. Pieces of one text have none.
    """
    source = snapshot(corpus, workspace)
    content = [TOKENS_FORMAT, source.fingerprint, split, tokenizer.tokenizer_id, source.joined]
    if separator != "eos" and not source.joined:
        content.append(separator)
    folder = cached_folder(
        workspace.cache / "tokens" / content_key(content),
        lambda temporary: _build(source, split, tokenizer, separator, temporary),
    )
    with reading(folder):
        return TokenStream(
            name=corpus.name,
            split=split,
            fingerprint=source.fingerprint,
            tokens=_mapped(folder / "tokens.npy"),
            document_offsets=np.load(folder / "document_offsets.npy"),
            n_bytes=read_json(folder / "manifest.json")["n_bytes"],
        )


def _build(
    source: CorpusSnapshot, split: Split, tokenizer: LoadedTokenizer, separator: Separator, folder: Path
) -> None:
    if source.joined:
        separator = "none"
    end = np.array([tokenizer.eos_id] if separator == "eos" else [], tokenizer.dtype)
    line_end = "\n" if separator == "newline" else ""
    n_bytes = 0

    def texts() -> Iterator[str]:
        nonlocal n_bytes
        for document in source.documents(split):
            n_bytes += len(document.text.encode())
            yield document.text + line_end

    parts: list[np.ndarray] = []
    offsets = [0]
    for ids in tokenizer.encode(texts()):
        parts.extend((ids, end))
        offsets.append(offsets[-1] + len(ids) + len(end))
    np.save(folder / "tokens.npy", np.concatenate(parts) if parts else np.empty(0, tokenizer.dtype))
    np.save(folder / "document_offsets.npy", np.array(offsets, dtype=np.int64))
    manifest = {
        "corpus": source.name,
        "fingerprint": source.fingerprint,
        "split": split,
        "separator": separator,
        "tokenizer_id": tokenizer.tokenizer_id,
        "n_tokens": offsets[-1],
        "n_documents": len(offsets) - 1,
        "n_bytes": n_bytes,
    }
    write_json(folder / "manifest.json", manifest)


def _mapped(path: Path) -> np.ndarray:
    # An empty file cannot be mapped.
    return np.load(path, mmap_mode="r") if path.stat().st_size > 128 else np.load(path)
