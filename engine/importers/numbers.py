"""Numbers within nested records, under names joined by dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SPELLED = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""What trackers write for numbers that JSON has not."""


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of everything that is no mapping; ``{"eval": {"ppl": 3}}`` is ``eval.ppl``."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and "_type" not in item:
            yield from flatten(item, f"{name}.")
        else:
            yield name, item


def numbers_in(value: Mapping[str, Any]) -> tuple[dict[str, float], set[str]]:
    """The numbers (truth values are 0 and 1), and the names of everything else but nulls."""
    found, others = {}, set()
    for name, item in flatten(value):
        number = _SPELLED.get(item, item) if isinstance(item, str) else item
        if isinstance(number, int | float):
            found[name] = float(number)
        elif number is not None:
            others.add(name)
    return found, others
