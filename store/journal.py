"""Journals: append-only files of one JSON object a line, each with one writer and any number of readers."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from store.files import cannot_read, cannot_write

MALFORMED = "malformed"
"""The name under which ``read_events`` reports a line that is not an object with ``seq``, ``t`` and ``event``."""

_TAIL_BYTES = 1 << 16
_LAST_S = 1e12
"""No journal is written so long after 1970; not a number and infinities are beyond it too."""


class Journal:
    """The one writer of a journal, usable from several threads; ``seq`` continues where the file ends."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._seq = 0

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Append one event with the time of now and the next ``seq``; returns the line as written."""
        with self._lock:
            if self._descriptor is None:
                self._open()
            line = {"seq": self._seq, "t": time.time(), "event": event, **fields}
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
            try:
                # Half a surrogate pair, which no UTF-8 can hold, becomes the escape that JSON has for it.
                _write_all(self._descriptor, text.encode(errors="backslashreplace"))
            except OSError as error:
                # The disk may have taken a part of the line: opening anew closes it before the next event.
                os.close(self._descriptor)
                self._descriptor = None
                raise cannot_write(self.path, error) from error
            self._seq += 1
            return line

    def close(self) -> None:
        """Sync to disk and close; a later ``append`` opens the journal again."""
        with self._lock:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
                os.close(self._descriptor)
                self._descriptor = None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._seq, torn = _find_end(self._descriptor)
        if torn:
            # A writer died within a line: close the line, so that the next event is not glued to its remains.
            _write_all(self._descriptor, b"\n")


def read_events(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The complete events after byte ``offset``, and the offset to go on from: just after the last newline.

    A torn last line is left for the next call. A complete line that is no event comes back as an event named
    ``malformed`` (``seq`` -1, ``t`` 0, ``offset`` of the line, ``text`` of 120 characters). A missing file is empty.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    except OSError as error:
        raise cannot_read(path, error, "Restore the journal, or move its run's folder away.") from error
    end = data.rfind(b"\n") + 1
    events = []
    position = offset
    for line in data[:end].splitlines(keepends=True):
        if line.strip():
            events.append(_parse(line, position))
        position += len(line)
    return events, offset + end


def _parse(line: bytes, position: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if (
        isinstance(value, dict)
        and isinstance(value.get("event"), str)
        and type(value.get("seq")) is int
        and 0 <= value["seq"] < 2**63
        and type(value.get("t")) in (int, float)
        and abs(value["t"]) < _LAST_S
    ):
        return value
    # Remains of anything may stand here, and it will be shown on a terminal.
    text = "".join(char if char.isprintable() else "\ufffd" for char in line.strip().decode(errors="replace")[:120])
    return {"seq": -1, "t": 0.0, "event": MALFORMED, "offset": position, "text": text}


def _find_end(descriptor: int) -> tuple[int, bool]:
    """The next ``seq`` of an open journal and whether its last line is torn, reading as little of its end as needed."""
    size = os.fstat(descriptor).st_size
    length = _TAIL_BYTES
    while True:
        start = max(0, size - length)
        data = os.pread(descriptor, size - start, start)
        torn = bool(data) and not data.endswith(b"\n")
        lines = data.split(b"\n")[:-1]
        # The first line of a tail that does not start at 0 is cut.
        for line in reversed(lines if start == 0 else lines[1:]):
            event = _parse(line, 0)
            if event["event"] != MALFORMED:
                return event["seq"] + 1, torn
        if start == 0:
            return 0, torn
        length *= 8


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
