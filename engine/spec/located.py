"""YAML that remembers where everything stood, so that an error can name file and line."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from store.errors import ConfigError

KeyPath = tuple[str | int, ...]
MOST_VALUES = 100_000


@dataclass(frozen=True)
class Located:
    """Plain data (mappings with text keys, lists, scalars) and, for each key path, the place it was written at."""

    data: Any
    places: dict[KeyPath, str]

    def place(self, path: KeyPath) -> str:
        """Where ``path``, or the nearest of its parents, was written: ``demo.yaml:12`` or ``--set lr=3``."""
        for length in range(len(path), -1, -1):
            if (place := self.places.get(path[:length])) is not None:
                return place
        raise KeyError(path)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: ``3e-3`` is a number, ``on`` and ``no`` are words, ``2024-01-01`` is text, ``010`` is ten.

    No experiment needs an infinite number, so ``.inf`` and ``.nan`` are words too and fail as such.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), list(_first))

_READERS = {
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": lambda text: int(text.replace("_", "")),
    "tag:yaml.org,2002:float": lambda text: float(text.replace("_", "")),
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:str": str,
}


def read_scalar(text: str) -> Any:
    """A number, a truth value, nothing (``null``), or the text itself, as an experiment's YAML would have it."""
    for name, pattern, _ in _SCALARS:
        if name != "merge" and re.fullmatch(pattern, text):
            return _READERS[f"tag:yaml.org,2002:{name}"](text)
    return text


def compose_nodes(text: str) -> yaml.Node:
    """The nodes of a text that ``read_yaml`` can read, with their marks. ``ValueError`` where it is none."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if root is None:
        raise ValueError("an empty document")
    return root


def read_yaml(text: str, file: str) -> Located:
    """Parse ``text``; ``file`` names it in places and errors. Duplicate keys and non-text keys are refused."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{file}{line}: not valid YAML: {error.problem}", "Check indentation, brackets and colons."
        ) from error
    except RecursionError as error:
        raise _too_deep(file) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {error}", "The file must be plain UTF-8 text.") from error
    places: dict[KeyPath, str] = {(): f"{file}:1"}
    try:
        data = None if root is None else _Builder(file, places).build(root, ())
    except RecursionError as error:
        raise _too_deep(file) from error
    return Located(data, places)


def _too_deep(file: str) -> ConfigError:
    return ConfigError(f"{file}: nested too deeply to be an experiment", "Check brackets and indentation.")


class _Builder:
    def __init__(self, file: str, places: dict[KeyPath, str]) -> None:
        self._file = file
        self._places = places
        self._open: list[yaml.Node] = []

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self._places.setdefault(path, self._place(node))
        if len(self._places) > MOST_VALUES:
            raise ConfigError(
                f"{self._place(node)}: more than {MOST_VALUES:,} values", "Aliases may multiply: write fewer of them."
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if any(node is parent for parent in self._open):
            raise ConfigError(f"{self._place(node)}: an alias refers to its own parent", "Write the value out.")
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    merged = {**self._merge_source(source, path), **merged}
                continue
            key = self._key(key_node)
            if key in own:
                first = self._places[(*path, key)]
                raise ConfigError(
                    f"{self._place(key_node)}: {dotted((*path, key))} is given twice, first at {first}",
                    "Keep one of the two.",
                )
            self._places[(*path, key)] = self._place(key_node)
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own}

    def _merge_source(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{self._place(node)}: << takes a mapping", "Merge an anchored mapping: <<: *name")
        shadow = _Builder(self._file, {})
        source = shadow.build(node, path)
        for inner, place in shadow._places.items():
            self._places.setdefault(inner, place)
        return source

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            if isinstance(self._scalar(node), str):
                return node.value
            raise ConfigError(
                f"{self._place(node)}: the key {node.value} is not text", f'Write it in quotes: "{node.value}".'
            )
        raise ConfigError(f"{self._place(node)}: a key must be a word", "Keys are plain text.")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if reader := _READERS.get(node.tag):
            return reader(node.value)
        raise ConfigError(
            f"{self._place(node)}: the tag {node.tag} is not understood", "Write the value without a tag."
        )

    def _place(self, node: yaml.Node) -> str:
        return f"{self._file}:{node.start_mark.line + 1}"


def dotted(path: KeyPath) -> str:
    """A key path as users write it: ``adapt.0.replay_ratio``."""
    return ".".join(str(part) for part in path)


def override(located: Located, assignment: str) -> Located:
    """Apply one ``a.b=value`` (the value is YAML; list items by their index, the next one adds an item) and return the
    changed document."""
    place = f"--set {assignment}"
    target, separator, text = assignment.partition("=")
    if not separator or not target.strip():
        raise ConfigError(f"{place}: not an assignment", "Write KEY=VALUE, for example adapt.0.replay_ratio=[0,0.5].")
    value = read_yaml(text, place)
    path = tuple(_resolve(located.data, target.strip().split("."), place))
    places = {known: where for known, where in located.places.items() if known[: len(path)] != path}
    places |= {(*path, *inner): place for inner in value.places}
    places |= {path[:n]: place for n in range(1, len(path)) if path[:n] not in places}
    return Located(_assign(located.data, path, value.data), places)


def _resolve(data: Any, parts: list[str], place: str) -> Iterator[str | int]:
    """The key path that dotted ``parts`` mean in ``data``: existing keys may hold dots themselves (``cs.CL``)."""
    while parts:
        if isinstance(data, list):
            key: Hashable = _index(data, parts[0], place)
            used = 1
        elif isinstance(data, dict) or data is None:
            data = data or {}
            used = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in data), 1)
            key = ".".join(parts[:used])
        else:
            raise ConfigError(
                f"{place}: nothing can be set inside the value {data!r}", "Check the path against the file."
            )
        yield key  # type: ignore[misc]
        items = dict(enumerate(data)) if isinstance(data, list) else data
        data = items.get(key)
        parts = parts[used:]


def _index(items: list[Any], part: str, place: str) -> int:
    if part.isdecimal() and int(part) <= len(items):
        return int(part)
    last = len(items) - 1
    raise ConfigError(
        f"{place}: {part!r} is not an item of that list",
        f"Items are numbered 0 to {last}; {last + 1} adds one." if items else "It is empty; 0 adds an item.",
    )


def _assign(data: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    head, *rest = path
    if isinstance(data, list):
        items = [*data, None] if head == len(data) else data
        return [_assign(item, tuple(rest), value) if index == head else item for index, item in enumerate(items)]
    branch = dict(data or {})
    branch[str(head)] = _assign(branch.get(str(head)), tuple(rest), value)
    return branch


def relative_name(path: Path) -> str:
    """The file as shown in messages: relative to the working directory where that is shorter."""
    try:
        shown = path.resolve().relative_to(Path.cwd())
    except ValueError:
        return str(path)
    return str(shown)
