"""What planning needs beyond the experiment: facts of an existing base and the size of a tokenizer that exists."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.plan.bases import BaseFacts, describe_base
from engine.plan.parts import Parts
from engine.spec.experiment import ExistingBase, Experiment

if TYPE_CHECKING:
    from engine.spec.run import Tokenizer
    from store.workspace import Workspace

Counter = Callable[[dict[str, Any]], int]


@dataclass(frozen=True)
class Known:
    """What was looked up. Expansion is a function of the experiment and this."""

    base: BaseFacts | None = None
    """Of an existing base."""
    vocabulary: int | None = None
    """Tokens of the tokenizer, if it is trained or fetched already."""


def look_up(experiment: Experiment, workspace: Workspace | None = None) -> Known:
    """Look up what can be known now; quick when repeated, and never an error."""
    base = experiment.base
    facts = describe_base(base.model, base.revision) if isinstance(base, ExistingBase) else None
    return Known(facts, _count_vocabulary(Parts(experiment).tokenizer, workspace))


def _count_vocabulary(tokenizer: Tokenizer, workspace: Workspace | None) -> int | None:
    if workspace is not None:
        manifest = workspace.cache / "tokenizers" / tokenizer.key() / "odyssey.json"
        if (size := _read(manifest, _stated)) is not None:
            return size
    if tokenizer.model is None:
        return None
    folder = Path(tokenizer.model).expanduser()
    return _read(folder / "tokenizer.json" if folder.is_dir() else _cached(tokenizer), _count_tokens)


def _cached(tokenizer: Tokenizer) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(tokenizer.model, "tokenizer.json", revision=tokenizer.revision)
    except (HFValidationError, OSError):
        return None
    return Path(found) if isinstance(found, str) else None


def _read(path: Path | None, count: Counter) -> int | None:
    """``count`` of a JSON file's content; None where there is none that holds it."""
    try:
        return _read_once(str(path), os.stat(path).st_mtime_ns, count) if path is not None else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@functools.lru_cache(maxsize=64)
def _read_once(path: str, _mtime_ns: int, count: Counter) -> int:
    return int(count(json.loads(Path(path).read_bytes())))


def _stated(content: dict[str, Any]) -> int:
    return content["vocab_size"]


def _count_tokens(content: dict[str, Any]) -> int:
    """Token ids run to this number in a tokenizer.json, added tokens included."""
    vocabulary = content["model"]["vocab"]
    ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
    return 1 + max((*ids, *(token["id"] for token in content.get("added_tokens") or ())))
