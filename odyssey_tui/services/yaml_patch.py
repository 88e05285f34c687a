"""Changes written into a YAML text in place: comments, order and layout of what was not changed stay.

PyYAML's marks say where every value stands; only those spans are rewritten, in flow style. Whoever calls compares what
the result says, and has a plain dump where a text is too unusual for this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from engine.spec.located import KeyPath, compose_nodes
from odyssey_tui.services.assignments import flow_text

_TRAILING = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*(?:#[^\n]*)?\Z")
"""Blank lines and comments at the end of a block: they belong to what follows."""


def patch(text: str, edits: Iterable[tuple[KeyPath, Any]]) -> str:
    """The text with each value written at its path. ``ValueError`` where that cannot be done."""
    for path, value in edits:
        text = _write(text, path, value)
    return text


def _write(text: str, path: KeyPath, value: Any) -> str:
    key, node = None, compose_nodes(text)
    for depth, part in enumerate(path):
        found = _step(node, part)
        if found is None:
            below = value
            for name in reversed(path[depth + 1 :]):
                below = [below] if isinstance(name, int) else {name: below}
            return _insert(text, key, node, part, below)
        key, node = found
    return _replace(text, key, node, value)


def _step(node: yaml.Node, part: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    """Key and value below a node; an item of a list has no key."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, below) for key, below in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None


def _replace(text: str, key: yaml.Node | None, node: yaml.Node, value: Any) -> str:
    """A block goes up to the line of its key, for it would have to be indented."""
    start, end = _span(text, node)
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    if key is not None and (block or start == end):
        colon = text.index(":", key.end_mark.index) + 1
        return f"{text[:colon]} {flow_text(value)}{text[end:]}"
    return f"{text[:start]}{flow_text(value)}{text[end:]}"


def _insert(text: str, key: yaml.Node | None, node: yaml.Node, part: str | int, value: Any) -> str:
    """A key or item after the last one of ``node``; what is empty, or no collection, is written anew."""
    whole = {part: value} if isinstance(part, str) else [value]
    if not isinstance(node, yaml.CollectionNode) or not node.value:
        return _replace(text, key, node, whole)
    written = flow_text(whole)[1:-1]
    start, end = _span(text, node)
    if node.flow_style:
        inner = text[: end - 1].rstrip()
        comma = "" if inner.endswith(",") else ","
        return f"{inner}{comma} {written}{text[end - 1 :]}"
    dash = "- " if isinstance(node, yaml.SequenceNode) else ""
    column = start - (text.rfind("\n", 0, start) + 1)
    ending = "" if text[end : end + 1] == "\n" else "\n"
    return f"{text[:end]}\n{' ' * column}{dash}{written}{ending}{text[end:]}"


def _span(text: str, node: yaml.Node) -> tuple[int, int]:
    """Where a node begins and ends, without what trails a block."""
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        trailing = _TRAILING.search(text[start:end])
        end = start + len(text[start:end][: trailing.start()].rstrip()) if trailing else end
    return start, end
