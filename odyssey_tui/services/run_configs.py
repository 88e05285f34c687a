"""Configurations of runs beyond the columns of the list: keys to group and filter by.

A specification never changes, so each is read once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.workspace import Workspace

Value = str | float
MOST_TEXT = 80
"""Characters of a value: what is longer is no axis."""


class ConfigReader:
    """Remembers what it has read of one workspace. Threads may share one: who asks for values waits for no reading."""

    def __init__(self) -> None:
        self._values: dict[str, Mapping[str, Value]] = {}
        self._reading = threading.Lock()

    def read(self, workspace: Workspace, run_ids: Collection[str]) -> None:
        """Read what ``values`` needs of these runs, whole specifications, which takes a while; forget others."""
        from store.database import lease
        from store.queries.runs import read_specs

        with self._reading:
            for gone in self._values.keys() - run_ids:
                del self._values[gone]
            if new := [run_id for run_id in run_ids if run_id not in self._values]:
                with lease(workspace) as con:
                    specs = read_specs(con, new if self._values else None)
                self._values.update({run_id: _values_of(text) for run_id, text in specs.items()})

    def values(self, run_id: str) -> Mapping[str, Value]:
        """Labels and the keys of what the run does, nested ones joined by dots: ``training.lr``, ``target``.

        Empty for a run that has not been read.
        """
        return self._values.get(run_id, {})

    def fields(self, run_ids: Sequence[str]) -> dict[str, type]:
        """Keys that any of the runs has, by name, and as what their values are compared."""
        kinds: dict[str, set[type]] = {}
        for run_id in run_ids:
            for key, value in self.values(run_id).items():
                kinds.setdefault(key, set()).add(type(value))
        return {key: float if found == {float} else str for key, found in sorted(kinds.items())}


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Value]]:
    """A configuration as pairs of key and scalar; what has a name is also its name, a list its items in one text."""
    if isinstance(value, Mapping):
        if key and "name" in value:
            yield key, str(value["name"])
        for inner, item in value.items():
            if inner != "name" or not key:
                yield from flatten(item, f"{key}.{inner}" if key else str(inner))
    elif isinstance(value, (list, tuple)):
        items = [str(item.get("name", "…")) if isinstance(item, Mapping) else f"{item}" for item in value]
        if items and len(text := ", ".join(items)) <= MOST_TEXT:
            yield key, text
    elif isinstance(value, bool):
        yield key, "yes" if value else "no"
    elif isinstance(value, (int, float)):
        yield key, float(value)
    elif isinstance(value, str) and value and len(value) <= MOST_TEXT:
        yield key, value


def differing_keys(configs: Sequence[Mapping[str, Value]]) -> list[tuple[str, int]]:
    """Keys to group by, with how many values they have: several, and fewer than there are runs."""
    values: dict[str, set[Value]] = {}
    for config in configs:
        for key, value in config.items():
            values.setdefault(key, set()).add(value)
    found = [(key, len(there)) for key, there in values.items() if 1 < len(there) < max(3, len(configs))]
    return sorted(found, key=lambda pair: (pair[0].count("."), pair[0]))


def _values_of(text: str) -> Mapping[str, Value]:
    try:
        spec = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(spec, dict):
        return {}
    job = {key: value for key, value in (spec.get("job") or {}).items() if key != "kind"}
    return dict([*flatten(job), *flatten(spec.get("labels") or {})])
