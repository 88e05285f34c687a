"""Finds the module that reads a source: by the prefix before the colon, a path otherwise."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from engine.data.sources.base import ReadLog, Source, did_you_mean
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

    Raises ConfigError for an unknown prefix, and what the module raises for a name it does not know.
    """
    prefix, _, name = corpus.source.partition(":")
    if is_path(corpus):
        module, name = PATHS, corpus.source
    elif prefix in PREFIXES:
        module = PREFIXES[prefix]
    else:
        raise ConfigError(
            f"corpus '{corpus.name}': unknown kind of source '{prefix}:' in '{corpus.source}'",
            did_you_mean(prefix, PREFIXES) or f"Known: {', '.join(f'{p}:' for p in PREFIXES)}, or a path.",
        )
    return importlib.import_module(module).open_source(corpus, name, log)


def is_path(corpus: Corpus) -> bool:
    """Whether the source is a file or folder rather than something with a prefix."""
    prefix, colon, _ = corpus.source.partition(":")
    return not colon or Path(corpus.source).exists() or not re.fullmatch(r"[a-z0-9_]{2,}", prefix)
