"""The per-token table of a stand-alone evaluation: a Parquet file, complete or absent."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from store.errors import OdysseyError
from store.files import temporary_name

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.data.tokenizer import LoadedTokenizer
    from engine.evaluate.stream import Stream

ROWS = 1 << 20
"""Rows written at once."""
FACTS = "odyssey"
"""Key of the file's metadata under which JSON says how the losses were computed: ``model``, ``tokenizer_id``,
``scheme`` and ``streams``, the tokens of each text file, whose windows are its own."""


def schema() -> pa.Schema:
    """One row per token, in the order of the texts and of their bytes."""
    import pyarrow as pa

    return pa.schema(
        {
            # From 0 over the documents of all files, in the order given.
            "document": pa.int32(),
            # The token's bytes within its document.
            "byte_start": pa.int64(),
            "byte_end": pa.int64(),
            # Its number within its document, from 0.
            "position": pa.int64(),
            "token_id": pa.int32(),
            # Its text, control characters and parts of characters escaped.
            "token": pa.string(),
            # nats; null where the scheme predicts nothing.
            "loss": pa.float32(),
        }
    )


class TokenTable:
    """Rows on their way to ``path``: in place, whatever was there, once the ``with`` block has ended without an error.

    ``OdysseyError`` on entering when the place cannot be written, and when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(temporary_name(path.name))
        self._texts: pa.Array | None = None
        self._documents = 0
        self._streams: list[int] = []

    def __enter__(self) -> TokenTable:
        import pyarrow.parquet as pq

        if self._path.is_dir():
            raise OdysseyError(f"cannot write {self._path}: it is a folder", "Name a file with --per-token.")
        with self._explained():
            self._file = open(self._temporary, "wb")
            self._writer = pq.ParquetWriter(self._file, schema(), compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            with self._explained(), self._file:
                self._writer.close()
                self._file.flush()
                os.fsync(self._file.fileno())
                if kind is None:
                    os.replace(self._temporary, self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def append(self, stream: Stream, losses: np.ndarray, tokenizer: LoadedTokenizer) -> None:
        """Add the tokens of one file; ``losses`` (n,) is NaN where nothing was predicted."""
        import pyarrow as pa

        if self._texts is None:
            self._texts = tokenizer.vocabulary()["text"].combine_chunks()
        for first in range(0, len(losses), ROWS):
            rows = slice(first, first + ROWS)
            ids = pa.array(stream.tokens[rows].astype(np.int32))
            columns = {
                "document": stream.document[rows] + self._documents,
                "byte_start": stream.byte_start[rows],
                "byte_end": stream.byte_end[rows],
                "position": stream.position[rows],
                "token_id": ids,
                "token": self._texts.take(ids),
                "loss": pa.array(losses[rows], mask=np.isnan(losses[rows])),
            }
            with self._explained():
                self._writer.write_table(pa.table(columns).cast(schema()))
        self._documents += stream.n_documents
        self._streams.append(len(losses))

    def describe(self, model: str, tokenizer_id: str, scheme: Mapping[str, Any]) -> None:
        """Record in the file what was evaluated how, once every text is in it."""
        facts = {"model": model, "tokenizer_id": tokenizer_id, "scheme": dict(scheme), "streams": self._streams}
        self._writer.add_key_value_metadata({FACTS: json.dumps(facts)})

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise OdysseyError(
                f"cannot write {self._path}: {reason}", "Choose another place with --per-token."
            ) from error
