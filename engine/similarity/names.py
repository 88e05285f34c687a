"""Looking a name up in a registry, with an error that names the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from store.errors import ConfigError

Item = TypeVar("Item")


def find(kind: str, name: str, registry: Mapping[str, Item]) -> Item:
    """``registry[name]``; ConfigError naming the nearest entry and all of them otherwise."""
    if name in registry:
        return registry[name]
    nearest = difflib.get_close_matches(name, registry, n=1)
    suggestion = f"Did you mean {nearest[0]}? " if nearest else ""
    raise ConfigError(f"{kind}s: no {kind} {name!r}", f"{suggestion}There are: {', '.join(registry)}.")
