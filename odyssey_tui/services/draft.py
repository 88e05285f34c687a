"""An experiment that is being edited: as it was opened, with what was changed since as assignments."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.spec.located import KeyPath, Located, override, read_yaml
from odyssey_tui.services.assignments import assignments, edits, same
from odyssey_tui.services.yaml_patch import patch
from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.spec.load import Examined


@dataclass(frozen=True)
class Draft:
    """Immutable: every change is a new draft, so that going back is easy."""

    origin: Located = field(repr=False)
    """As it was opened."""
    folder: Path
    """Where its relative paths start."""
    title: str
    """What it is called in the list it was chosen from."""
    source: str = ""
    """What the command line calls it: a file, or the name of a ready experiment; empty where it has none."""
    changes: tuple[str, ...] = ()
    """Assignments applied to the origin, as ``--set`` takes them."""
    text: str = field(default="", repr=False)
    """Its text as it was opened, with comments."""
    before: Located | None = field(default=None, repr=False)
    """What this goes on from, where its text was edited or written into a file; its blocks may have run."""
    block: int | None = None
    """Launch only the runs of this adaptation block and what they need; None for the whole experiment."""

    @cached_property
    def located(self) -> Located:
        """The data now, with where each was written. ``ConfigError`` for an assignment that cannot be made."""
        located = self.origin
        for assignment in self.changes:
            located = override(located, assignment)
        return located

    @property
    def data(self) -> dict[str, Any]:
        """The experiment as plain data."""
        data: dict[str, Any] = self.located.data
        return data

    @property
    def name(self) -> str:
        """The experiment's name, as far as there is one."""
        return str(self.data.get("name") or "")

    @property
    def blocks(self) -> list[Any]:
        """The adaptation blocks."""
        found = self.data.get("adapt")
        return found if isinstance(found, list) else []

    @property
    def opened_blocks(self) -> list[Any]:
        """The adaptation blocks as they were opened first."""
        found = (self.before or self.origin).data.get("adapt")
        return found if isinstance(found, list) else []

    def value(self, path: KeyPath, default: Any = None) -> Any:
        """What is written at ``path``."""
        return value_at(self.data, path, default)

    def set(self, path: KeyPath, value: Any) -> Draft:
        """With ``value`` written at ``path``; mappings on the way are made, an index after the last adds an item."""
        return self._to(_written(self.data, path, value))

    def unset(self, path: KeyPath) -> Draft:
        """With nothing written at ``path``: its default holds. An item of a list is taken out."""
        data = _without(self.data, path)
        parent = path[:-1]
        while parent and value_at(data, parent) == {} and value_at(self.origin.data, parent) is None:
            data, parent = _without(data, parent), parent[:-1]
        return self._to(data)

    def _to(self, data: Mapping[str, Any]) -> Draft:
        return replace(self, changes=assignments(self.origin.data, data))

    def with_changes(self, changes: Sequence[str]) -> Draft:
        """With further assignments, in the words of whoever made them."""
        return replace(self, changes=(*self.changes, *changes))

    def examine(self) -> Examined:
        """Everything that is wrong with it, and the experiment if nothing is. ``ConfigError`` for a law's file."""
        from engine.spec.load import examine

        return examine(self.located, self.folder)

    def command(self, workspace: Path | None = None) -> str:
        """The command that does the same, in a workspace that is not the usual one; empty where it is no file yet."""
        if not self.source:
            return ""
        words = ["odyssey", "launch", self.source]
        if workspace is not None:
            words += ["--workspace", str(workspace)]
        for change in self.changes:
            words += ["--set", change]
        if self.block is not None:
            words += ["--block", str(self.block)]
        return shlex.join(words)

    def to_yaml(self, folder: Path | None = None) -> str:
        """The experiment as YAML for a file in ``folder``; in another one than its own, paths become absolute.

        Comments and layout of what was not changed stay, unless the text is too unusual for that.
        """
        moved = folder is not None and folder.resolve() != self.folder.resolve()
        data = _moved(self.data, self.examine().resolved) if moved else self.data
        try:
            text = patch(self.text, edits(self.origin.data, data))
            if same(read_yaml(text, "patched").data, data):
                return text
        except (ValueError, ConfigError):
            pass
        return dump(data)


def open_text(text: str, file: str, folder: Path, title: str, source: str = "") -> Draft:
    """A draft of a YAML text; ``ConfigError`` when it is none, or no mapping."""
    from engine.spec.load import read_mapping

    return Draft(read_mapping(text, file), folder, title, source, text=text)


def open_file(path: Path, title: str = "", source: str = "") -> Draft:
    """A draft of a file. Raises ``ConfigError``."""
    from engine.spec.load import read_text
    from engine.spec.located import relative_name

    path = path.expanduser()
    name = relative_name(path)
    return open_text(read_text(path), name, path.resolve().parent, title or name, source or name)


def dump(data: Mapping[str, Any]) -> str:
    """Plain data as YAML that people read: what lies deepest in one line each."""
    import yaml

    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def yaml_path(path: Path) -> Path:
    """Where an experiment is written when a user says ``path``."""
    path = path.expanduser()
    return path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")


def save(draft: Draft, path: Path, *, replace_it: bool = False) -> Draft:
    """Write the experiment to a file and go on from there. ``ConfigError`` when it is there already, or cannot be."""
    from store.files import write_atomic

    path = yaml_path(path)
    if path.exists() and not replace_it:
        raise ConfigError(f"{path}: is there already", "Give another name, or remove it first.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}", "Make it, or give another path.")
    try:
        write_atomic(path, draft.to_yaml(path.parent))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}", "Give another path.") from error
    return replace(open_file(path), block=draft.block, before=draft.before or draft.origin)


def _moved(data: dict[str, Any], resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The data with paths as they were resolved; sizes stay as they are written."""
    found = data
    for path in [("tokenizer", "model"), ("base", "model"), *(("corpora", name, "source") for name in _keys(data))]:
        if isinstance(value_at(data, path), str) and (there := value_at(resolved, path)) is not None:
            found = _written(found, path, there)
    if value_at(data, ("laws", "forms")) != value_at(resolved, ("laws", "forms")):
        found = _written(found, ("laws",), resolved["laws"])
    return found


def _keys(data: Mapping[str, Any]) -> list[str]:
    corpora = data.get("corpora")
    return list(corpora) if isinstance(corpora, Mapping) else []


def value_at(data: Any, path: KeyPath, default: Any = None) -> Any:
    """The value at a path of plain data, ``default`` where there is none."""
    for part in path:
        known = range(len(data)) if isinstance(data, list) else data if isinstance(data, Mapping) else ()
        if part not in known:
            return default
        data = data[part]
    return data


def changed(draft: Draft, path: KeyPath) -> bool:
    """Whether what stands at ``path`` is not what was opened."""
    return not same(draft.value(path, _ABSENT), value_at(draft.origin.data, path, _ABSENT))


_ABSENT = "\0absent"


def _written(data: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        items = list(data) if isinstance(data, list) else []
        items += [None] * (head + 1 - len(items))
        items[head] = _written(items[head], rest, value)
        return items
    branch = dict(data) if isinstance(data, Mapping) else {}
    branch[head] = _written(branch.get(head), rest, value)
    return branch


def _without(data: Any, path: KeyPath) -> Any:
    head, rest = path[0], path[1:]
    if isinstance(data, list) and isinstance(head, int):
        if rest:
            return [_without(item, rest) if index == head else item for index, item in enumerate(data)]
        return [item for index, item in enumerate(data) if index != head]
    if not isinstance(data, Mapping) or head not in data:
        return data
    if rest:
        return {key: _without(item, rest) if key == head else item for key, item in data.items()}
    return {key: item for key, item in data.items() if key != head}
