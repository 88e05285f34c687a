"""What was changed in an experiment as ``--set`` assignments: the form and the command line say the same thing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from engine.spec.located import KeyPath, dotted, read_scalar

_PLAIN = re.compile(r"[A-Za-z_][\w./@+%-]*(?::[\w./@+%-]+)*")
"""Words that YAML takes as they are, wherever they stand."""


def flow_text(value: Any) -> str:
    """A value as YAML in one line, with quotes only where they are needed: ``{domain: law, atpp: [1, 2]}``."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow_text(str(key))}: {flow_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and read_scalar(value) == value:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def assignments(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Assignments that turn one experiment's data into another's, as ``--set`` takes them."""
    return tuple(f"{dotted(path)}={flow_text(value)}" for path, value in edits(before, after))


def edits(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """Values to write, as few and small as they can be, to turn one experiment's data into another's.

    What is no longer written at the top is set to its default: an assignment cannot take a key away.
    """
    gone = {key: default_of(key) for key in before if key not in after}
    yield from _compare(before, {**after, **gone}, ())


def default_of(key: str) -> Any:
    """The default of a top-level key as plain data."""
    from engine.spec.experiment import Experiment
    from engine.spec.reference import read_keys

    found = next((one for one in read_keys(Experiment) if one.name == key), None)
    if found is None or found.default is None:
        return None
    return {} if found.shape == "model" else json.loads(json.dumps(found.default))


def _compare(before: Any, after: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if same(before, after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping) and _reachable(before, after):
        for key, value in after.items():
            if key not in before:
                yield (*path, key), value
            else:
                yield from _compare(before[key], value, (*path, key))
    elif _are_items(before) and _are_items(after) and len(before) <= len(after):
        for index, item in enumerate(after):
            if index < len(before):
                yield from _compare(before[index], item, (*path, index))
            else:
                yield (*path, index), item
    else:
        yield path, after


def _reachable(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether assignments to single keys do it: none is taken away, and no new one would be read as a path."""
    return all(key in after for key in before) and all("." not in key and key for key in after if key not in before)


def _are_items(value: Any) -> bool:
    """Whether a list's items are changed one by one: those with keys of their own are."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def same(one: Any, other: Any) -> bool:
    """Whether two values are written alike: ``1`` and ``1.0`` are, ``1`` and ``true`` are not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
