"""What only the engine can tell to be unused: cached texts that no run reads, folders of workers that are dead."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import DataError
from store.files import read_json

if TYPE_CHECKING:
    from store.upkeep.leftovers import Leftover
    from store.workspace import Workspace

HOUR_S = 3600.0


def unused_caches(workspace: Workspace, older_than_s: float) -> list[Leftover]:
    """Cache entries that no existing run reads, made longer ago than ``older_than_s``; they are made again when needed.

    None while a specification cannot be read: nobody knows what that run reads.
    """
    from store.upkeep.leftovers import Leftover, bytes_of

    try:
        corpora, tokenizers, encodes = _named_by_runs(workspace)
    except DataError:
        return []
    cache = workspace.cache
    fingerprints = {_field(cache / "corpora" / key, "manifest.json", "fingerprint") for key in corpora}
    kept_tokenizers = {_field(cache / "tokenizers" / key, "odyssey.json", "tokenizer_id") for key in tokenizers}
    tests = {
        "corpora": lambda entry: entry.name in corpora,
        "tokenizers": lambda entry: entry.name in tokenizers,
        "tokens": lambda entry: (
            _field(entry, "manifest.json", "fingerprint") in fingerprints
            and _field(entry, "manifest.json", "tokenizer_id") in kept_tokenizers
        ),
        "eval_sets": lambda entry: _field(entry, "manifest.json", "tokenizer_id") in kept_tokenizers,
        "embeddings": lambda entry: encodes,
        "similarities": lambda entry: encodes,
    }
    found = []
    for folder, used in tests.items():
        for entry in _entries(cache / folder):
            if time.time() - entry.stat().st_mtime >= older_than_s and not used(entry):
                found.append(Leftover(entry, "cache", bytes_of(entry)))
    return found


def dead_workers(workspace: Workspace) -> list[Leftover]:
    """Folders of worker processes that have ended an hour ago or more."""
    from engine.launch.mailbox import Mailbox, parse_card
    from store.upkeep.leftovers import Leftover, bytes_of

    found = []
    for entry in _entries(workspace.workers):
        try:
            alive = parse_card(read_json(Mailbox(entry).card)).identity.alive()
        except (FileNotFoundError, DataError, KeyError, TypeError):
            alive = False
        if not alive and time.time() - entry.stat().st_mtime > HOUR_S:
            found.append(Leftover(entry, "worker", bytes_of(entry)))
    return found


def _named_by_runs(workspace: Workspace) -> tuple[set[str], set[str], bool]:
    """Keys of the corpora and tokenizers of all runs, and whether any of them measures similarity."""
    from pydantic import ValidationError

    from engine.spec.run import Corpus, RunSpec, SimilarityJob, Tokenizer

    corpora: set[str] = set()
    tokenizers: set[str] = set()
    encodes = False
    for run_id in workspace.run_ids():
        try:
            spec = RunSpec.model_validate(workspace.run(run_id).spec())
        except ValidationError as error:
            raise DataError(f"{workspace.run(run_id).spec_path} cannot be understood") from error
        encodes = encodes or isinstance(spec.job, SimilarityJob)
        for part in _parts(spec.job):
            if isinstance(part, Corpus):
                corpora.add(part.key())
            if isinstance(part, Tokenizer):
                tokenizers.add(part.key())
    return corpora, tokenizers, encodes


def _parts(value: Any) -> Iterator[Any]:
    """All models within a model."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _parts(item)
    elif hasattr(value, "model_fields_set"):
        yield value
        for _, item in value:
            yield from _parts(item)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return []


def _field(entry: Path, file: str, name: str) -> Any:
    try:
        return read_json(entry / file).get(name)
    except (FileNotFoundError, NotADirectoryError, DataError):
        return None
