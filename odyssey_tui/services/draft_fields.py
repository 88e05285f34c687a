"""Every key of an experiment as rows of a form: what is written, what holds where nothing is, what lies below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.spec.located import KeyPath, dotted
from engine.spec.reference import Key, about, read_keys
from odyssey_tui.services.assignments import flow_text
from odyssey_tui.services.draft import changed
from odyssey_tui.services.draft_values import show_value

if TYPE_CHECKING:
    from pydantic import BaseModel

    from odyssey_tui.services.draft import Draft

ABSENT = object()


@dataclass(frozen=True)
class FieldRow:
    """A key, or an item of a list or mapping. ``key`` is None for an item, and for a key that no model knows."""

    path: KeyPath
    label: str
    depth: int
    key: Key | None
    value: Any
    """What is written; None where nothing is."""
    written: bool
    changed: bool
    """Whether it is not what was opened."""
    default: str
    """What holds where nothing is written, as far as it can be said in a line."""
    branch: bool
    """Whether keys or items may lie below."""
    opened: bool
    meaning: str
    values: str
    """What may be written, in words."""
    adds: str = ""
    """What can be added below: ``item`` or ``name``; empty for nothing."""

    @property
    def text(self) -> str:
        """What is written in a line: all of a value, the content of what lies below."""
        return (flow_text(self.value) if self.branch and self.value is not None else show_value(self.value)).strip()


def list_fields(draft: Draft, opened: frozenset[KeyPath], filter: str = "") -> tuple[FieldRow, ...]:
    """The rows in sight: below what is ``opened``; with a filter every key that holds all of its words."""
    from engine.spec.experiment import Experiment

    words = filter.lower().split()
    rows = _Walk(draft, opened, everywhere=bool(words)).keys((), (Experiment,), draft.data, 0)
    if not words:
        return tuple(rows)
    return tuple(row for row in rows if row.key is not None and all(word in _searched(row) for word in words))


def find_field(draft: Draft, path: KeyPath) -> FieldRow | None:
    """The row of one key."""
    above = frozenset(path[:length] for length in range(len(path)))
    return next((row for row in list_fields(draft, above) if row.path == path), None)


def choose_model(models: Sequence[type[BaseModel]], data: Any) -> type[BaseModel]:
    """Of several models the one whose keys the data have most of, and least that it does not know."""
    written = set(data) if isinstance(data, Mapping) else set()

    def misfit(model: type[BaseModel]) -> int:
        return len(written - set(model.model_fields)) - len(written & set(model.model_fields))

    return min(models, key=misfit)


def inherited(draft: Draft, path: KeyPath, key: Key) -> str:
    """What holds where nothing is written at ``path``: the value of what it stands in for, else the default."""
    text, whence = show_value(key.default) if key.shape == "leaf" and key.default not in ((), {}) else "", ""
    if path[:1] == ("adapt",) and len(path) >= 3:
        if path[2] == "training" and len(path) == 4:
            found, whence = _training(draft, path[3])
            text = show_value(found) or text
        elif path[2] == "lr":
            found, whence = _training(draft, "lr")
            text = show_value(found)
        elif path[2] in ("ptpp", "size"):
            text = "all"
    return f"{text} ({whence})" if text and whence else text


def _training(draft: Draft, name: str | int) -> tuple[Any, str]:
    """A key of the optimisation that adaptations share, and where that is written."""
    for place in (("adapt_training",), ("base", "training")):
        if isinstance(draft.value(place), Mapping):
            return draft.value((*place, name)), dotted(place)
    return None, ""


def _searched(row: FieldRow) -> str:
    return f"{dotted(row.path)} {row.meaning} {'' if row.branch else row.text}".lower()


class _Walk:
    def __init__(self, draft: Draft, opened: frozenset[KeyPath], *, everywhere: bool) -> None:
        self._draft = draft
        self._opened = opened
        self._everywhere = everywhere

    def keys(self, path: KeyPath, models: Sequence[type[BaseModel]], data: Any, depth: int) -> Iterator[FieldRow]:
        written = data if isinstance(data, Mapping) else {}
        known = read_keys(choose_model(models, written))
        for key in known:
            if not (key.name == "name" and len(path) == 2 and path[0] == "corpora"):  # a corpus is named by its key
                yield from self._one(key, (*path, key.name), written.get(key.name, ABSENT), depth)
        names = {key.name for key in known}
        for name, value in written.items():
            if name not in names:
                yield self._row((*path, name), name, depth, None, value, branch=False, meaning="not a known key")

    def _one(self, key: Key, path: KeyPath, value: Any, depth: int) -> Iterator[FieldRow]:
        row = self._row(path, key.name, depth, key, value, branch=key.shape != "leaf", meaning=key.meaning)
        yield row
        if row.branch and row.opened:
            yield from self._below(key, path, None if value is ABSENT else value, depth + 1)

    def _below(self, key: Key, path: KeyPath, value: Any, depth: int) -> Iterator[FieldRow]:
        if key.shape == "model":
            yield from self.keys(path, key.models, value, depth)
            return
        items: Sequence[tuple[str | int, Any]] = ()
        if isinstance(value, Mapping):
            items = list(value.items())
        elif isinstance(value, list):
            items = list(enumerate(value))
        for name, item in items:
            here = (*path, name)
            row = self._row(here, str(name), depth, None, item, branch=True, meaning=about(key.models[0]))
            yield row
            if row.opened:
                yield from self.keys(here, key.models, item, depth + 1)

    def _row(
        self, path: KeyPath, label: str, depth: int, key: Key | None, value: Any, *, branch: bool, meaning: str
    ) -> FieldRow:
        there = value is not ABSENT
        return FieldRow(
            path=path,
            label=dotted(path) if self._everywhere else label,
            depth=0 if self._everywhere else depth,
            key=key,
            value=value if there else None,
            written=there,
            changed=changed(self._draft, path),
            default=inherited(self._draft, path, key) if key is not None and not there else "",
            branch=branch,
            opened=self._everywhere or path in self._opened,
            meaning=meaning.replace("``", "").replace("`", ""),
            values=key.values(lambda name: "keys below").replace("`", "") if key is not None else "",
            adds={"models": "item", "mapping": "name"}.get(key.shape, "") if key is not None else "",
        )
