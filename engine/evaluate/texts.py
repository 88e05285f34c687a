"""The texts of files for a stand-alone evaluation, exactly as they are: no line end changed, nothing left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.data.sources.base import ReadLog
from engine.data.sources.paths import RECORD_KINDS, kind_of, open_source, read_bytes
from engine.spec.run import Corpus
from store.errors import DataError


def read_texts(path: Path) -> list[str]:
    """The documents of a file: one of a plain text; the ``text`` fields of ``.jsonl``, ``.json`` and ``.parquet``.

    Compressed ones (``.gz``, ``.xz``, ``.zst``) too. A byte order mark stays. ``DataError`` when the file is missing or
    damaged, no UTF-8, or holds no text.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder", "Name the files in it.")
    texts = list(stream_texts(path, ReadLog()))
    if not any(texts):
        raise DataError(f"{path} holds no text", "Give a file that has some.")
    return texts


def stream_texts(path: Path, log: ReadLog) -> Iterator[str]:
    """The documents of a file one by one, or those of a folder, where ``log`` counts the files that are no text."""
    if not path.exists():
        raise DataError(f"there is no file {path}", f"Relative names start at {Path.cwd()}.")
    records = path.is_dir() or kind_of(path) in RECORD_KINDS
    for number, text in enumerate(_read_records(path, log) if records else [_read_plain(path)], 1):
        _check_unicode(text, f"{path}: document {number}")
        yield text


def _read_records(path: Path, log: ReadLog) -> Iterator[str]:
    source = open_source(Corpus(name=path.name, source=str(path)), str(path), log)
    return (document.text for document in source.documents)


def _read_plain(path: Path) -> str:
    content = read_bytes(path)
    if b"\0" in content:
        raise DataError(
            f"{path} is no text: byte {content.index(0):,} is zero", "Give plain text, JSON lines or Parquet."
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start:,}",
            "Convert it, for example with `iconv -t utf-8`.",
        ) from error


def _check_unicode(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place} is no text: character {error.start:,} is half a surrogate pair", "Write it as UTF-8 again."
        ) from error
