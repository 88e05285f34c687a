"""How far a journal goes, read from its end."""

from __future__ import annotations

from pathlib import Path

from store.journal import read_events
from store.survey import size_of

_TAIL_BYTES = 1 << 16


def last_seq(path: Path) -> int:
    """``seq`` of the newest complete event of a journal; -1 where there is none."""
    start = max(0, size_of(path) - _TAIL_BYTES)
    # A tail that begins within a line begins with a malformed one; a tail of nothing else is no tail.
    found = _newest(path, start)
    return _newest(path, 0) if found < 0 and start else found


def _newest(path: Path, offset: int) -> int:
    return max((event["seq"] for event in read_events(path, offset)[0]), default=-1)
