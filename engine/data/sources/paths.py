"""Text on disk: a file or a folder; plain text, JSON lines, JSON, Parquet; compressed or not."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from engine.data.sources.base import RawDocument, ReadLog, Source, did_you_mean, hash_order
from engine.data.sources.records import ID_FIELDS, RecordReader
from engine.spec.run import Corpus
from engine.spec.strict import content_key
from store.errors import DataError

RECORD_KINDS = (".jsonl", ".ndjson", ".json", ".parquet")
DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


def open_source(corpus: Corpus, name: str, log: ReadLog) -> Source:
    """Open the file or folder ``name`` (``~`` and relative paths allowed).

    In a folder, ``corpus.glob`` chooses the files; hidden ones are left out, files that are no UTF-8 text are skipped
    and counted. The group of a document is its file, unless ``group_field`` names one.
    Raises DataError when the path or every file is missing.
    """
    root = Path(name).expanduser()
    if not root.exists():
        raise DataError(f"corpus '{corpus.name}': no such file or folder: {root}", _missing_hint(root))
    if not os.access(root, os.R_OK):
        raise DataError(f"corpus '{corpus.name}': not readable: {root}", "Check its permissions.")
    files = _files(root, corpus)
    if not files:
        raise DataError(
            f"corpus '{corpus.name}': no file in {root} matches '{corpus.glob}'",
            "Change `glob`, for example to '**/*.txt'. Hidden files are never read.",
        )
    records = any(kind_of(path) in RECORD_KINDS for path in files)
    base = root if root.is_dir() else root.parent
    return Source(_documents(files, base, corpus, log), str(root.resolve()), stops_early=not records)


def state(corpus: Corpus) -> str | None:
    """A key of the names, sizes and times of the source's files; None when they are not there any more."""
    root = Path(corpus.source).expanduser()
    if not root.exists():
        return None
    stats = [(path.as_posix(), path.stat()) for path in _files(root, corpus)]
    return content_key([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def size(corpus: Corpus) -> int:
    """Bytes of the source's files, as they are on the disk."""
    return sum(path.stat().st_size for path in _files(Path(corpus.source).expanduser(), corpus))


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The content of a file, decompressed by its suffix (.gz, .xz, .zst), at most ``limit`` bytes of it.

    Raises DataError when the compressed data are damaged.
    """
    try:
        with _open(path) as stream:
            return stream.read() if limit is None else stream.read(limit)
    except DAMAGE as error:
        raise _unreadable(path, error) from error


def _files(root: Path, corpus: Corpus) -> list[Path]:
    if root.is_file():
        return [root]
    files = [path for path in root.glob(corpus.glob) if path.is_file() and not _hidden(path.relative_to(root))]
    return sorted(files, key=lambda path: hash_order(path.relative_to(root).as_posix()))


def _documents(files: list[Path], base: Path, corpus: Corpus, log: ReadLog) -> Iterator[RawDocument]:
    reader = RecordReader(corpus, log)
    readers: dict[str, Callable[[Path, str, RecordReader], Iterator[RawDocument]]] = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json,
        ".parquet": _parquet,
    }
    read_any = False
    for path in files:
        name = path.relative_to(base).as_posix()
        kind = kind_of(path)
        if kind in readers:
            for document in readers[kind](path, name, reader):
                read_any = True
                yield document
        else:
            text = _text(path, name, corpus, log)
            if text is not None:
                read_any = True
                yield RawDocument(name, name, text, str(path))
    if not read_any and reader.refused():
        log.note(reader.refused())


def _text(path: Path, name: str, corpus: Corpus, log: ReadLog) -> str | None:
    content = read_bytes(path, None if corpus.max_bytes is None else corpus.max_bytes + 4)
    if b"\0" in content:
        log.skip("binary", name)
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A read that stops at the limit may stop inside a character; anything earlier is another encoding.
        if corpus.max_bytes is not None and len(content) > corpus.max_bytes and error.start >= len(content) - 3:
            return content[: error.start].decode("utf-8-sig")
        log.skip("not UTF-8", name)
        return None


def _json_lines(path: Path, name: str, reader: RecordReader) -> Iterator[RawDocument]:
    number = 0
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    record = _parse(line, f"{name}:{number}", reader.corpus)
                    document = reader.document(record, place=f"{path}:{number}", group=name, doc_id=f"{name}:{number}")
                    if document is not None:
                        yield document
    except DAMAGE as error:
        raise _unreadable(path, error, f" after line {number}") from error


def _json(path: Path, name: str, reader: RecordReader) -> Iterator[RawDocument]:
    content = read_bytes(path)
    if not content.lstrip().startswith(b"["):
        try:
            records = [json.loads(content)]
        except (json.JSONDecodeError, UnicodeDecodeError):
            yield from _json_lines(path, name, reader)
            return
    else:
        records = _parse(content, name, reader.corpus, list)
    for index, record in enumerate(records):
        place = f"{path}[{index}]"
        if not isinstance(record, dict):
            raise DataError(f"corpus '{reader.corpus.name}': {place} is no JSON object", "Each record is an object.")
        document = reader.document(record, place=place, group=name, doc_id=f"{name}[{index}]")
        if document is not None:
            yield document


def _parse(content: bytes, place: str, corpus: Corpus, kind: type = dict) -> Any:
    try:
        value = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"corpus '{corpus.name}': {place} is no valid JSON: {error}", "Write one JSON object per line."
        ) from error
    if not isinstance(value, kind):
        raise DataError(f"corpus '{corpus.name}': {place} is no JSON object", "Write one JSON object per line.")
    return value


def _parquet(path: Path, name: str, reader: RecordReader) -> Iterator[RawDocument]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error
    present = file.schema_arrow.names
    reader.check_fields(present, str(path))
    columns = sorted({*reader.fields, *(name for name in ID_FIELDS if name in present)})
    row = 0
    for batch in file.iter_batches(batch_size=1024, columns=columns):
        for record in batch.to_pylist():
            place, doc_id = f"{path}[{row}]", f"{name}[{row}]"
            document = reader.document(record, place=place, group=name, doc_id=doc_id)
            if document is not None:
                yield document
            row += 1


def _open(path: Path) -> IO[bytes]:
    openers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open, ".zst": _open_zst}
    return openers.get(path.suffix.lower(), lambda p: p.open("rb"))(path)


def _open_zst(path: Path) -> IO[bytes]:
    decompressor = zstandard.ZstdDecompressor()
    # The stream reader itself offers no lines.
    return io.BufferedReader(decompressor.stream_reader(path.open("rb"), closefd=True, read_across_frames=True))


def kind_of(path: Path) -> str:
    """The suffix that says what a file holds, below that of a compression: ``.jsonl``, ``.txt``, or nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".xz", ".zst"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _unreadable(path: Path, error: Exception, where: str = "") -> DataError:
    return DataError(f"cannot read {path}{where}: {error or type(error).__name__}", "The file is damaged or cut short.")


def _missing_hint(root: Path) -> str:
    parent = root.parent
    while not parent.is_dir():
        parent = parent.parent
    missing = root.relative_to(parent).parts[0] if root.is_relative_to(parent) else root.name
    names = [path.name for path in parent.iterdir()] if os.access(parent, os.R_OK) else []
    return did_you_mean(missing, names) or f"{parent.resolve()} exists; '{missing}' is not in it."
