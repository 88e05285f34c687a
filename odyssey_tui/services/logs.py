"""The console of a run as lines that may be shown: read on from where the last look ended, nothing in them moves a
cursor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey_tui.services.token_text import neutral

if TYPE_CHECKING:
    from store.workspace import Workspace

MOST_BYTES = 8_000_000
"""Of a longer console the end is read: some 100,000 lines."""
MOST_LINES = 100_000
TAB_STOP = 8
SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, the clipboard, device strings
    r"|\x1b[ -/]*[0-~]"  # other escapes
)
"""ECMA-48, 5th edition, 5.4 and 5.6."""


@dataclass(frozen=True)
class LogText:
    """What an attempt has written, as far as it is kept."""

    attempt: int
    """0 before the first attempt."""
    attempts: int
    size: int
    """Bytes of the console so far."""
    left_out: int
    """Bytes before the first line."""
    lines: Sequence[str]

    def __eq__(self, other: object) -> bool:
        """Consoles only grow."""
        if not isinstance(other, LogText):
            return NotImplemented
        return (self.attempt, self.attempts, self.size) == (other.attempt, other.attempts, other.size)

    def __hash__(self) -> int:
        return hash((self.attempt, self.attempts, self.size))


class LogReader:
    """Reads the console of one run again and again; of the newest attempt, or of the one it is told."""

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self._run = workspace.run(run_id)
        self._attempt = 0
        self._offset = self._left_out = 0
        self._rest = b""
        self._lines: list[str] = []

    def read(self, attempt: int | None = None) -> LogText:
        """The lines now. A last line that has not ended is among them."""
        attempts = self._run.attempts()
        chosen = next((one for one in attempts if one.number == attempt), attempts[-1] if attempts else None)
        if chosen is None:
            return LogText(0, 0, 0, 0, ())
        if chosen.number != self._attempt:
            self._forget(chosen.number)
        self._read_more(chosen.console)
        lines = (*self._lines, plain_line(self._rest.decode("utf-8", "replace"))) if self._rest else tuple(self._lines)
        return LogText(chosen.number, len(attempts), self._offset, self._left_out, lines)

    def _forget(self, attempt: int) -> None:
        self._attempt, self._offset, self._left_out, self._rest, self._lines = attempt, 0, 0, b"", []

    def _read_more(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._offset:  # another file: the attempt's folder was put in its place
                    self._forget(self._attempt)
                if size - self._offset > MOST_BYTES:
                    self._forget(self._attempt)
                    self._left_out = size - MOST_BYTES
                    file.seek(self._left_out)
                    self._left_out += len(file.readline())
                    self._offset = self._left_out
                file.seek(self._offset)
                content = file.read(size - self._offset)
        except FileNotFoundError:
            return
        self._offset += len(content)
        *ended, self._rest = (self._rest + content).split(b"\n")
        self._lines += [plain_line(line.decode("utf-8", "replace")) for line in ended]
        if len(self._lines) > MOST_LINES:
            self._left_out = max(1, self._left_out)
            del self._lines[:-MOST_LINES]


def plain_line(line: str) -> str:
    """A line as a terminal would leave it, without colours: what was written over by a carriage return is gone.

    Escape sequences are taken out; a control character that is none of them is spelled out.
    """
    if line.isprintable():
        return line
    line = SEQUENCES.sub("", line).rstrip("\r").rpartition("\r")[2]
    return neutral(line.expandtabs(TAB_STOP))


def find_lines(lines: Sequence[str], text: str) -> list[int]:
    """Which lines hold ``text``, whatever its case; none for an empty one."""
    wanted = text.lower()
    return [index for index, line in enumerate(lines) if wanted in line.lower()] if wanted else []


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a console; none when it does not exist yet."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 64_000))
            content = file.read()
    except FileNotFoundError:
        return []
    return [plain_line(line) for line in content.decode("utf-8", "replace").rstrip("\n").split("\n")[-lines:]]
