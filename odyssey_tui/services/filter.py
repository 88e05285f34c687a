"""The filter language of the runs: ``domain=tests and replay>=0.1 and state=done``, ``tag:x``, ``~text``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from store.errors import ConfigError
from store.names import suggest

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
WORD = r'"[^"]*"|[^\s",]+'
COMPARISON = re.compile(rf"(?P<key>[\w.]+)\s*(?P<op>!=|>=|<=|=|>|<)\s*(?P<value>{WORD})?")
TAG = re.compile(rf"tag:(?P<value>{WORD})")
TEXT = re.compile(rf"~(?P<value>{WORD})")
AND = re.compile(r"and\b|,", re.IGNORECASE)
MOST_KEYS = 32
SPACE = re.compile(r"\s*")

Fields = Mapping[str, type]
Record = Mapping[str, Any]
Test = Callable[[Record], bool]


class FilterError(ConfigError):
    """A filter that cannot be read; ``position`` is the offset (characters) of what is wrong."""

    def __init__(self, text: str, position: int, problem: str, hint: str = "") -> None:
        super().__init__(f"filter, column {position + 1}: {problem}", hint)
        self.text = text
        self.position = position


class UnknownKeyError(FilterError):
    """A filter that names a key which the records do not have."""


@dataclass(frozen=True)
class Filter:
    """A conjunction of tests on a record; the empty filter accepts everything."""

    text: str
    tests: tuple[Test, ...]

    def accepts(self, record: Record) -> bool:
        """Whether every test holds. A missing value satisfies only ``!=``."""
        return all(test(record) for test in self.tests)


def parse_filter(text: str, fields: Fields) -> Filter:
    """Read a filter over ``fields`` (name → float or str). Raises FilterError with the position of the mistake.

    ``~text`` looks in every text field, ``tag:x`` in the record's ``tags``.
    """
    tests: list[Test] = []
    position = _skip(text, 0)
    while position < len(text):
        if tests:
            joint = AND.match(text, position)
            if joint is None:
                raise FilterError(
                    text, position, "expected 'and'", "Join conditions with 'and': state=done and ptpp=15."
                )
            position = _skip(text, joint.end())
        test, position = _condition(text, position, fields)
        tests.append(test)
        position = _skip(text, position)
    return Filter(text, tuple(tests))


def _skip(text: str, position: int) -> int:
    match = SPACE.match(text, position)
    return match.end() if match else position


def _condition(text: str, position: int, fields: Fields) -> tuple[Test, int]:
    if match := TAG.match(text, position):
        tag = match["value"].strip('"')
        return (lambda record: tag in (record.get("tags") or ())), match.end()
    if match := TEXT.match(text, position):
        part = match["value"].strip('"').lower()
        names = [name for name, kind in fields.items() if kind is str]
        return (lambda record: any(part in str(record.get(name) or "").lower() for name in names)), match.end()
    match = COMPARISON.match(text, position)
    if match is None:
        hint = "Write key=value, tag:NAME or ~text. " + list_keys(fields)
        raise FilterError(text, position, f"cannot read '{text[position : position + 20]}'", hint)
    return _comparison(text, match, fields), match.end()


def list_keys(fields: Fields) -> str:
    """The keys in a sentence; of very many the first."""
    more = f", … ({len(fields)} in all)" if len(fields) > MOST_KEYS else ""
    return f"Keys: {', '.join(list(fields)[:MOST_KEYS])}{more}"


def _comparison(text: str, match: re.Match[str], fields: Fields) -> Test:
    key, symbol, raw = match["key"], match["op"], match["value"]
    if key not in fields:
        hint = suggest(key, fields, list_keys(fields))
        raise UnknownKeyError(text, match.start("key"), f"there is no key '{key}'", hint)
    if raw is None:
        raise FilterError(text, match.end(), f"'{key}{symbol}' needs a value")
    compare, value = COMPARISONS[symbol], raw.strip('"')
    if fields[key] is float:
        try:
            wanted = float(value)
        except ValueError:
            raise FilterError(text, match.start("value"), f"'{key}' is a number, '{value}' is none") from None
        return lambda record: _compare_number(compare, symbol, record.get(key), wanted)
    if symbol not in ("=", "!="):
        raise FilterError(text, match.start("op"), f"'{key}' is text: use = or !=")
    lowered = value.lower()
    return lambda record: compare(str(record.get(key) or "").lower(), lowered)


def _compare_number(compare: Callable[[Any, Any], bool], symbol: str, value: float | None, wanted: float) -> bool:
    return symbol == "!=" if value is None else compare(value, wanted)
