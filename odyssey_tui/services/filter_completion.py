"""What may come next in a filter: keys, then their values, then ``and``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from odyssey_tui.services.filter import AND, COMPARISONS

MOST = 50
"""Candidates: more are no help."""
OPERATORS = "|".join(sorted(map(re.escape, COMPARISONS), key=len, reverse=True))
VALUE = re.compile(rf'(?P<key>[\w.]+)\s*(?:{OPERATORS})\s*(?P<typed>"[^"]*|[^\s",]*)$')
TAG = re.compile(r'tag:(?P<typed>"[^"]*|[^\s",]*)$')
KEY = re.compile(r"(?P<typed>[\w.]*)$")
BARE = re.compile(r'[^\s",]+')

Values = Callable[[str], Iterable[object]]
"""The values that a key has among the rows; of the key ``tag`` the tags."""


@dataclass(frozen=True)
class Completion:
    """``candidates`` may stand in place of the characters from ``start`` to the cursor; the likeliest comes first."""

    start: int
    candidates: tuple[str, ...]


NOTHING = Completion(0, ())


def complete(text: str, cursor: int, fields: Mapping[str, type], values: Values) -> Completion:
    """What may stand at the cursor of a filter over ``fields``; nothing where the text before it makes no sense."""
    before = text[:cursor]
    if match := TAG.search(before):
        return _matching(match, sorted({str(value) for value in values("tag")}))
    match = VALUE.search(before)
    if match and match["key"] in fields:
        found = {_as_typed(value) for value in values(match["key"]) if value is not None and value != ""}
        return _matching(match, sorted(found, key=_by_number))
    match = KEY.search(before)
    if match is None:
        return NOTHING
    head = before[: match.start()].rstrip()
    if not head or head.endswith(",") or AND.fullmatch(re.split(r"\s", head)[-1]):
        keys = [f"{key}=" if kind is str else key for key, kind in fields.items()]
        return _matching(match, [*keys, "tag:"])
    return _matching(match, ["and "]) if before[-1:].isspace() or match["typed"] else NOTHING


def apply(text: str, cursor: int, completion: Completion, candidate: str) -> tuple[str, int]:
    """The text with the candidate in place, and where the cursor is then."""
    return text[: completion.start] + candidate + text[cursor:], completion.start + len(candidate)


def _matching(match: re.Match[str], candidates: Iterable[str]) -> Completion:
    """Candidates that begin with what was typed, then those that hold it; nothing where it is complete."""
    typed = match["typed"].strip('"').lower()
    listed = list(candidates)
    begin = [one for one in listed if one.strip('"').lower().startswith(typed)]
    hold = [one for one in listed if typed in one.lower() and one not in begin]
    found = [one for one in [*begin, *hold] if one != match["typed"]]
    return Completion(match.start("typed"), tuple(found[:MOST]))


def _as_typed(value: object) -> str:
    text = f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
    return text if BARE.fullmatch(text) else f'"{text}"' if '"' not in text else text.split('"')[0]


def _by_number(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
