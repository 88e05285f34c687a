"""M2D2 domains (arXiv 2210.07370; hub dataset ``machelreid/m2d2``, CC-BY-NC-4.0) with their own splits.

The dataset's loader is a script, which current ``datasets`` refuses, and it strips the lines of the text. So the
archive ``data/DOMAIN.tar.gz`` is read itself: its ``train.txt``, ``valid.txt`` and ``test.txt``, newlines kept.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from engine.data.sources.base import Objection, RawDocument, ReadLog, Source, Split
from engine.data.sources.m2d2_names import KNOWN, NO_DOMAINS, advise, is_domain
from engine.hub import explain_hub
from engine.spec.run import Corpus
from store.errors import DataError

REPOSITORY = "machelreid/m2d2"
MEMBERS: dict[Split, str] = {"test": "test.txt", "valid": "valid.txt", "train": "train.txt"}
PASSAGE_BYTES = 16_384
"""The files know no articles: they are cut at line ends into passages of about this size, consecutive and joined."""


FORMS = "Names are those of the published files: LEVEL1, LEVEL1__LEVEL2, or an arXiv category such as cs.CL."


def objection(name: str) -> Objection | None:
    """What is wrong with ``name`` as a domain, if anything; with the nearest names."""
    if is_domain(name):
        return None
    if name in NO_DOMAINS:
        return Objection(f"'{name}' is no domain of M2D2, though listed beside its {len(KNOWN)} domains", FORMS)
    return Objection(f"M2D2 has no domain '{name}'", f"{advise(name)} {FORMS}".strip())


def caution(name: str) -> str | None:
    """What cannot be said of ``name`` before it is downloaded."""
    if name in KNOWN or not is_domain(name):
        return None
    return f"'{name}' is not among M2D2's published names; whether it exists is confirmed at download. {advise(name)}"


def open_source(corpus: Corpus, name: str, log: ReadLog) -> Source:
    """Open domain ``name``, downloading its archive when the hub's cache does not hold it.

    Raises DataError when the archive cannot be had.
    """
    archive = download(corpus, name)
    log.note("splits are the dataset's own; documents are consecutive passages cut at line ends")
    return Source(_documents(archive, corpus, name), f"hf:{REPOSITORY}/{archive_of(name)}", True, joined=True)


def download(corpus: Corpus, name: str) -> Path:
    """The archive of domain ``name`` in the hub's cache. Raises DataError with what to do when it cannot be had."""
    from huggingface_hub import hf_hub_download

    file = archive_of(name)
    try:
        return Path(hf_hub_download(REPOSITORY, file, repo_type="dataset", revision=corpus.revision))
    except Exception as error:  # the hub's client raises types of several libraries
        if _is_absent(error):
            raise absent(corpus, name) from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        reason, advice = explain_hub(error, f"datasets/{REPOSITORY}") or (first, "Check the connection.")
        raise DataError(
            f"corpus '{corpus.name}': M2D2's {file} could not be downloaded: {reason}",
            f"{advice} Or download it where there is a connection (hf download {REPOSITORY} {file} --repo-type "
            "dataset) and copy the Hugging Face cache here.",
        ) from error


def require(corpus: Corpus, name: str) -> None:
    """``DataError`` when the hub, asked without a download, has no domain ``name``."""
    from huggingface_hub import HfApi

    if not HfApi().file_exists(REPOSITORY, archive_of(name), repo_type="dataset", revision=corpus.revision):
        raise absent(corpus, name)


def _is_absent(error: Exception) -> bool:
    """Whether the hub was asked and knows no such file; not, whether it is missing from the cache alone."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    return isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)


def archive_of(name: str) -> str:
    """The file of domain ``name`` in the dataset's repository."""
    return f"data/{name}.tar.gz"


def absent(corpus: Corpus, name: str) -> DataError:
    """The hub was asked, and has no such domain."""
    at = f" at revision {corpus.revision}" if corpus.revision else ""
    return DataError(
        f"corpus '{corpus.name}': M2D2 has no domain '{name}': there is no {archive_of(name)} in {REPOSITORY}{at}",
        advise(name) or "Check the name.",
    )


def _documents(archive: Path, corpus: Corpus, name: str) -> Iterator[RawDocument]:
    try:
        with tarfile.open(archive) as tar:
            for split, member in MEMBERS.items():
                stream = _extract(tar, f"{name}/{member}", archive, corpus)
                for number, passage in enumerate(_passages(stream, corpus.max_bytes)):
                    path = f"{archive}:{name}/{member}"
                    yield RawDocument(f"{split}:{number}", f"{name}/{split}", passage, path, split)
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"corpus '{corpus.name}': cannot read {archive}: {error}", "Delete the file to download it again."
        ) from error


def _extract(tar: tarfile.TarFile, member: str, archive: Path, corpus: Corpus) -> IO[bytes]:
    names = tar.getnames()
    found = next((name for name in names if name.removeprefix("./") == member), None)
    stream = tar.extractfile(found) if found is not None else None
    if stream is None:
        raise DataError(
            f"corpus '{corpus.name}': {archive} has no {member}", f"It holds: {', '.join(sorted(names)[:8])}."
        )
    return stream


def _passages(stream: IO[bytes], max_bytes: int | None) -> Iterator[str]:
    lines: list[bytes] = []
    held = total = 0
    for line in stream:
        if max_bytes is not None and total + len(line) > max_bytes:
            break
        lines.append(line)
        held += len(line)
        total += len(line)
        if held >= PASSAGE_BYTES:
            yield b"".join(lines).decode("utf-8")
            lines, held = [], 0
    if lines:
        yield b"".join(lines).decode("utf-8")
