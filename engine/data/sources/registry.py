"""Finds the module that reads a source: by the prefix before the colon, a path otherwise."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from engine.data.sources.base import Objection, ReadLog, Source, did_you_mean
from engine.spec.run import Corpus
from store.errors import ConfigError

PREFIXES: dict[str, str] = {
    "installation": "engine.data.sources.installation",
    "hf": "engine.data.sources.hub",
    "m2d2": "engine.data.sources.m2d2",
}
PATHS = "engine.data.sources.paths"


def open_source(corpus: Corpus, log: ReadLog) -> Source:
    """Open ``corpus.source``. Each module offers ``open_source(corpus, name, log)``; ``name`` follows the prefix.

    Raises ConfigError for an unknown prefix or name, with the nearest.
    """
    if is_path(corpus):
        return importlib.import_module(PATHS).open_source(corpus, corpus.source, log)
    if found := objection(corpus):
        raise ConfigError(f"corpus '{corpus.name}': {found.reason}", found.advice)
    prefix, _, name = corpus.source.partition(":")
    return importlib.import_module(PREFIXES[prefix]).open_source(corpus, name, log)


def objection(corpus: Corpus) -> Objection | None:
    """What is wrong with the prefix or name of ``corpus.source``, if anything; reads and downloads nothing.

    Each module that has a prefix offers ``objection(name)``. Paths are not looked at.
    """
    prefix, _, name = corpus.source.partition(":")
    if is_path(corpus):
        return None
    if prefix in PREFIXES:
        found: Objection | None = importlib.import_module(PREFIXES[prefix]).objection(name)
        return found
    return Objection(
        f"unknown kind of source '{prefix}:' in '{corpus.source}'",
        did_you_mean(prefix, PREFIXES) or f"Known: {', '.join(f'{p}:' for p in PREFIXES)}, or a path.",
    )


def caution(corpus: Corpus) -> str | None:
    """What only reading ``corpus.source`` will tell, where its module knows of such a thing; nothing is read."""
    prefix, _, name = corpus.source.partition(":")
    module = None if is_path(corpus) or prefix not in PREFIXES else importlib.import_module(PREFIXES[prefix])
    found: str | None = module.caution(name) if hasattr(module, "caution") else None
    return found


def is_path(corpus: Corpus) -> bool:
    """Whether the source is a file or folder rather than something with a prefix."""
    prefix, colon, _ = corpus.source.partition(":")
    return not colon or Path(corpus.source).exists() or not re.fullmatch(r"[a-z0-9_]{2,}", prefix)
