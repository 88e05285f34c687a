"""A run as another tool recorded it, whichever tool it was, and what of its files could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Tool = Literal["trackio", "tensorboard", "wandb", "table"]


@dataclass(frozen=True)
class Measurement:
    """Values logged together. ``t`` is unix seconds."""

    t: float
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Unread:
    """Something that was not imported: the file, the place in it (line, byte, row; may be empty) and why."""

    file: Path
    place: str
    reason: str


@dataclass(frozen=True)
class Recorded:
    """One run. ``source_id`` is what the tool calls it and stays the same when the run grows or its folder moves."""

    tool: Tool
    source: Path
    source_id: str
    name: str
    project: str
    config: Mapping[str, Any] = field(default_factory=dict)
    """Hyper-parameters as the tool has them, nested as there."""
    measurements: tuple[Measurement, ...] = ()
    """In the order in which they were logged."""
    points: tuple[Mapping[str, Any], ...] = ()
    """Fields of ``point`` events (docs/architecture.md)."""
    started: float | None = None
    ended: float | None = None
    state: Literal["done", "failed", "lost"] = "done"
    reason: str = ""
    host: str = ""
    version: str = ""
    """Of the tool, where it says."""


@dataclass(frozen=True)
class Found:
    """What a reader made of some files."""

    runs: tuple[Recorded, ...]
    unread: tuple[Unread, ...]
