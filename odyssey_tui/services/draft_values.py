"""Values of an experiment as people type them in one line, and as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.spec.located import read_scalar, read_yaml
from odyssey_tui.services.assignments import flow_text
from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.spec.reference import Key

_SIMPLE = re.compile(r"[^\s,\[\]{}\"']+")


class Unset:
    """Nothing was typed: the key is not written, its default holds."""


UNSET = Unset()


def read_typed(text: str, key: Key | None) -> Any:
    """What ``text`` means for a key: ``UNSET`` for nothing, text as it is, several values with commas or spaces, YAML.

    What cannot be read stays text, which the experiment's own checks then refuse: nothing typed is lost.
    """
    text = text.strip()
    if not text:
        return UNSET
    if key is not None and key.is_text:
        return text
    if text[0] in "[{\"'":
        try:
            return read_yaml(text, "typed").data
        except ConfigError:
            return text
    if key is not None and takes_list(key) and key.shape == "leaf":
        read = str if _of_text(key) else read_scalar
        items = [read(item) for item in re.split(r"[,\s]+", text.strip(" ,")) if item]
        return items[0] if len(items) == 1 and (key.several or items == ["all"]) else items
    return read_scalar(text)


def show_value(value: Any) -> str:
    """A value in one line, as ``read_typed`` takes it."""
    if value is None or value is UNSET:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, list | tuple):
        items = [show_value(item) for item in value]
        plain = all(not isinstance(item, list | tuple | Mapping | type(None)) for item in value)
        if items and plain and all(_SIMPLE.fullmatch(item) and item != "all" for item in items):
            return ", ".join(items)
    return flow_text(value)


def takes_list(key: Key) -> bool:
    """Whether a key holds several values."""
    options = key.schema.get("anyOf") or key.schema.get("oneOf") or [key.schema]
    return any(option.get("type") == "array" for option in options)


def _of_text(key: Key) -> bool:
    """Whether its several values are all meant as text, even those that look like numbers."""
    options = key.schema.get("anyOf") or key.schema.get("oneOf") or [key.schema]
    items = [option.get("items", {}) for option in options if option.get("type") == "array"]
    return bool(items) and all(item.get("type") == "string" for item in items)
