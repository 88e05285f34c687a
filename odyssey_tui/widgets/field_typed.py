"""What the fields of an experiment's form say when something is typed into them."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from engine.spec.located import KeyPath


@dataclass
class FieldTyped(Message):
    """A key's value is being typed; ``as_yaml``: all that lies below it."""

    path: KeyPath
    text: str
    as_yaml: bool = False


@dataclass
class FieldKept(Message):
    """Enter: what was typed stays."""

    path: KeyPath
