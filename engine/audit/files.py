"""The documents of files for an audit: what is damaged is counted, not refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.audit.findings import Reading
from engine.data.sources.base import ReadLog
from engine.data.sources.paths import RECORD_KINDS, kind_of, open_source, read_bytes
from engine.spec.run import Corpus
from store.errors import DataError

BINARY_SHARE = 0.2
"""Share of undecodable places or NULs among characters from which on a file is no text."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Texts:
    """Documents of one side, in the order of the files."""

    documents: list[str]
    reading: Reading


def read_files(names: Iterable[str], max_bytes: int) -> Texts:
    """The documents of files and folders, up to ``max_bytes`` together.

    A plain file is one document; of ``.jsonl``, ``.json`` and ``.parquet`` each ``text`` is one; in a folder every file
    that is no text is left out, as in training. ``DataError`` where nothing can be read.
    """
    documents: list[str] = []
    reading = Reading()
    left = max_bytes
    names = list(names)
    for name in names:
        path = Path(name).expanduser()
        for document, told in _read(path, left):
            size = len(document.encode("utf-8", "surrogatepass"))
            if document:
                documents.append(document)
            reading = dataclasses.replace(
                reading,
                invalid_bytes=reading.invalid_bytes + told.invalid_bytes,
                skipped=(*reading.skipped, *told.skipped),
            )
            left -= size
            if left <= 0 or told.cut_at is not None:
                return Texts(documents, dataclasses.replace(reading, cut_at=max_bytes))
    if not any(documents):
        raise DataError(f"{', '.join(names)}: no text", "Give a file that has some.")
    return Texts(documents, reading)


def _read(path: Path, limit: int) -> Iterator[tuple[str, Reading]]:
    if not path.exists():
        raise DataError(f"there is no file {path}", f"Relative names start at {Path.cwd()}.")
    if path.is_dir() or kind_of(path) in RECORD_KINDS:
        yield from _read_source(path)
    else:
        yield _read_plain(path, limit)


def _read_source(path: Path) -> Iterator[tuple[str, Reading]]:
    log = ReadLog()
    read_any = False
    for document in open_source(Corpus(name=path.name, source=str(path)), str(path), log).documents:
        if document.text:
            read_any = True
            yield _without_surrogates(document.text)
    skipped = tuple(log.skipped_notes())
    if not read_any:
        why = f": {'; '.join(skipped)}" if skipped else ""
        raise DataError(
            f"{path} holds no text that can be read{why}", "Give files of UTF-8 text, JSON lines or Parquet."
        )
    if skipped:
        yield "", Reading(skipped=skipped)


def _without_surrogates(text: str) -> tuple[str, Reading]:
    """Halves of surrogate pairs, which JSON can spell and UTF-8 cannot, as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        valid = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return valid, Reading(invalid_bytes=valid.count("\ufffd") - text.count("\ufffd"))
    return text, Reading()


def _read_plain(path: Path, limit: int) -> tuple[str, Reading]:
    content = read_bytes(path, limit + 4)
    if content.startswith(UTF_16):
        raise DataError(f"{path} is UTF-16", "Convert it, for example with `iconv -f utf-16 -t utf-8`.")
    cut = len(content) > limit
    if cut:
        content = content[:limit]
        content = content[: len(content) - _half_character(content)]
    text = content.decode("utf-8", "replace")
    invalid = text.count("\ufffd") - content.count("\ufffd".encode())
    if (invalid + content.count(0)) >= BINARY_SHARE * max(len(text), 1) and text:
        raise DataError(f"{path} is no text", "Give plain text, JSON lines or Parquet.")
    if not text:
        raise DataError(f"{path} is empty", "Give a file that holds text.")
    return text, Reading(invalid_bytes=invalid, cut_at=limit if cut else None)


def _half_character(content: bytes) -> int:
    """Bytes at the end that begin a character and do not end it."""
    for length in range(1, min(4, len(content)) + 1):
        byte = content[-length]
        if byte >= 0xC0:
            return length if length < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else 0
        if byte < 0x80:
            return 0
    return 0
