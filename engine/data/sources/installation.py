"""Corpora every Python installation carries: ``installation:PART``. Nothing is shipped, nothing downloaded.

Parts do not share text where one could be the base of another's adaptation: ``source`` is the standard library as it
is, ``docs`` the docstrings of installed packages, ``library`` and ``tests`` code without docstrings.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.data.sources.base import Objection, RawDocument, ReadLog, Source, did_you_mean, hash_order
from engine.data.sources.extract import character_names, docstrings, long_description, without_docstrings
from engine.data.sources.installed import InstalledFile, installed_files
from engine.spec.run import Corpus

DEFAULT_BYTES = 4_000_000
FILE_BYTES = 12_288
"""A file is cut at a line end below this size, so that no document outweighs the rest of its split."""
LISTING_LINES = 128
GROUP_SHARE = 8
"""One group holds at most this fraction (1/8) of the corpus."""
NO_GROUP = ("tests", "test", "testing", "include", "src", "licenses", "third_party")
"""Folders that say what kind of file it is rather than which package."""
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A kind of text: which files hold it, what is taken from each, and how deep a folder makes a group."""

    holds: Callable[[InstalledFile], bool]
    take: Callable[[str], str] = str
    depth: int = 2
    """Folders that name a group (``numpy/linalg``); 0 makes every file its own group."""
    distinct_paragraphs: bool = False
    """Drop paragraphs seen before: texts that quote each other would otherwise cross the split."""


def _is_test(file: InstalledFile) -> bool:
    folders, name = file.parts[:-1], file.parts[-1]
    return any(part in ("test", "tests", "testing", "idle_test", "idlelib", "lib2to3") for part in folders) or (
        name.startswith("test_") or name == "conftest.py"
    )


def _python(root: str, tests: bool) -> Callable[[InstalledFile], bool]:
    def holds(file: InstalledFile) -> bool:
        return file.root == root and file.relative.endswith(".py") and _is_test(file) == tests

    return holds


def _suffix(*suffixes: str) -> Callable[[InstalledFile], bool]:
    return lambda file: file.relative.endswith(suffixes)


def _test_code(file: InstalledFile) -> bool:
    return file.relative.endswith(".py") and _is_test(file) and "data" not in file.parts


def _licence(file: InstalledFile) -> bool:
    name = file.parts[-1].lower()
    return bool(re.match(r"(licen[sc]e|copying|notice|copyright)", name)) and not name.endswith((".py", ".h", ".pyi"))


def _readme(file: InstalledFile) -> bool:
    return file.parts[-1] == "METADATA" and file.parts[0].endswith(".dist-info")


def _table(file: InstalledFile) -> bool:
    in_tests = file.relative.endswith((".csv", ".tsv", ".dat", ".txt")) and "data" in file.parts[:-1]
    return file.root == "site" and (in_tests or file.relative.endswith(".csv")) and file.size > 512


PARTS: dict[str, Part] = {
    # Standard library source, as it is.
    "source": Part(_python("stdlib", tests=False), depth=1),
    # Docstrings of installed packages, and the code of those packages without them.
    "docs": Part(_python("site", tests=False), docstrings),
    "library": Part(_python("site", tests=False), without_docstrings),
    # Test code of the standard library, which some distributions leave out, and of installed packages.
    "tests": Part(_test_code, without_docstrings),
    # Type stubs, C and C++ headers, Cython.
    "stubs": Part(_suffix(".pyi")),
    "headers": Part(_suffix(".h", ".hpp", ".cuh", ".hh"), depth=3),
    "cython": Part(_suffix(".pyx", ".pxd", ".pxi")),
    # Licences and readmes of distributions: paragraphs that many of them quote come once.
    "licences": Part(_licence, depth=1, distinct_paragraphs=True),
    "readmes": Part(_readme, long_description, depth=1, distinct_paragraphs=True),
    # Numeric tables: test data of scientific packages.
    "tables": Part(_table, depth=0),
}
GENERATED: dict[str, Callable[[], Iterator[tuple[str, int, str]]]] = {
    # Path and size of every installed file; the Unicode character table.
    "listing": lambda: _listing(),
    "unicode": character_names,
}
"""Parts that are no files: each yields (group, piece, text)."""


def objection(name: str) -> Objection | None:
    """What is wrong with ``name`` as a part, if anything."""
    known = (*PARTS, *GENERATED)
    if name in known:
        return None
    hint = did_you_mean(name, known)
    return Objection(f"the installation has no part '{name}'", f"{hint} Parts: {', '.join(known)}.".strip())


def open_source(corpus: Corpus, name: str, log: ReadLog) -> Source:
    """Open part ``name``. Files come one per group in turn, groups and files in hash order: any prefix is a spread."""
    max_bytes = corpus.max_bytes or DEFAULT_BYTES
    documents = _generated(name) if name in GENERATED else _from_files(PARTS[name], log)
    balanced = _balanced(documents, max_bytes // GROUP_SHARE)
    return Source(
        balanced, f"Python {platform.python_version()} at {sys.prefix}", stops_early=True, max_bytes=max_bytes
    )


def _balanced(documents: Iterator[RawDocument], group_bytes: int) -> Iterator[RawDocument]:
    held: dict[str, int] = {}
    for document in documents:
        size = held.get(document.group, 0) + len(document.text.encode())
        if size <= group_bytes:
            held[document.group] = size
            yield document


def _from_files(part: Part, log: ReadLog) -> Iterator[RawDocument]:
    groups: dict[str, list[InstalledFile]] = {}
    for file in installed_files():
        if file.size and part.holds(file):
            groups.setdefault(_group(file, part.depth), []).append(file)
    seen: set[str] = set()
    for group, file in _in_turn(groups, lambda file: file.doc_id):
        text = _read(file, log)
        if text is None:
            continue
        text = part.take(text)
        if part.distinct_paragraphs:
            text = _distinct(text, seen)
        text = _cut(text)
        if text.strip():
            yield RawDocument(file.doc_id, group, text, file.path)


def _generated(name: str) -> Iterator[RawDocument]:
    groups: dict[str, list[tuple[int, str]]] = {}
    for group, piece, text in GENERATED[name]():
        groups.setdefault(group, []).append((piece, text))
    for group, (piece, text) in _in_turn(groups, lambda entry: f"{entry[0]}"):
        yield RawDocument(f"{name}/{group}/{piece}", group, text, f"python:{name}")


def _listing() -> Iterator[tuple[str, int, str]]:
    lines: dict[str, list[str]] = {}
    for file in sorted(installed_files(), key=lambda file: file.doc_id):
        lines.setdefault(_group(file, 2), []).append(f"{file.relative},{file.size}\n")
    for group, table in lines.items():
        for piece in range(0, len(table), LISTING_LINES):
            yield group, piece // LISTING_LINES, "".join(table[piece : piece + LISTING_LINES])


def _in_turn(groups: dict[str, list[T]], key: Callable[[T], str]) -> Iterator[tuple[str, T]]:
    """One item of every group, then the next of every group, and so on; both in hash order."""
    turns = [
        (rank, hash_order(group), group, item)
        for group, items in groups.items()
        for rank, item in enumerate(sorted(items, key=lambda item: hash_order(key(item))))
    ]
    turns.sort(key=lambda turn: turn[:2])
    for _, _, group, item in turns:
        yield group, item


def _group(file: InstalledFile, depth: int) -> str:
    if depth == 0:
        return file.doc_id
    folders = [part for part in file.parts[:-1] if part not in NO_GROUP]
    if not folders:
        return file.parts[-1] if len(file.parts) == 1 else file.parts[0]
    return "/".join(folders[:depth])


def _read(file: InstalledFile, log: ReadLog) -> str | None:
    try:
        content = Path(file.path).read_bytes()
    except PermissionError:
        log.skip("not readable", file.doc_id)
        return None
    if b"\0" in content:
        log.skip("binary", file.doc_id)
        return None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        log.skip("not UTF-8", file.doc_id)
        return None


def _cut(text: str) -> str:
    """The text up to a line end; a file of one long line is cut inside it."""
    content = text.encode()
    if len(content) <= FILE_BYTES:
        return text
    end = content.rfind(b"\n", 0, FILE_BYTES) + 1
    return content[: end or FILE_BYTES].decode(errors="ignore")


def _distinct(text: str, seen: set[str]) -> str:
    kept = []
    for paragraph in re.split(r"\n[ \t]*\n", text):
        normal = " ".join(re.sub(r"[^a-z ]+", " ", paragraph.lower()).split())
        if normal and normal not in seen:
            seen.add(normal)
            kept.append(paragraph.strip("\n"))
    return "".join(f"{paragraph}\n\n" for paragraph in kept)
