"""A terminal that a program draws on: a pseudo-terminal that answers as terminals do, and says what came when.

It knows synchronized output (mode 2026), as kitty, WezTerm, Ghostty, foot, Windows Terminal and iTerm2 do: programs
that ask for it mark where a frame begins and ends, and frames are counted exactly. Of others a frame is what comes
until nothing has come for ``GAP_S``.
"""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import psutil

COLUMNS, ROWS = 120, 40
GAP_S = 0.03
FRAME_END = b"\x1b[?2026l"
FULL_SCREEN = b"\x1b[?1049h"
_CONTROL = re.compile(
    rb"\x1b\[[0-9;:?>=<$ ]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78]|\x1b[P_^][^\x1b]*\x1b\\|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)
_ANSWERS: tuple[tuple[bytes, bytes], ...] = (
    (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    (b"\x1b[?2027$p", b"\x1b[?2027;0$y"),
    (b"\x1b[?2048$p", b"\x1b[?2048;0$y"),
    (b"\x1b[c", b"\x1b[?62;22c"),
    (b"\x1b[6n", b"\x1b[1;1R"),
    (b"\x1b]10;?", b"\x1b]10;rgb:d0d0/d0d0/d0d0\x1b\\"),
    (b"\x1b]11;?", b"\x1b]11;rgb:1010/1010/1010\x1b\\"),
    (b"\x1b[?u", b"\x1b[?0u"),
    (b"\x1b[>0q", b"\x1bP>|bench\x1b\\"),
    (b"\x1b[>q", b"\x1bP>|bench\x1b\\"),
)
"""What programs ask a terminal, and what it says: synchronized output, no in-band resizes, dark, no kitty keys."""


@dataclass(frozen=True)
class Answer:
    """What a program drew after a key. ``painted_s``: until its first frame was whole; ``settled_s``: the last one."""

    painted_s: float | None
    settled_s: float | None
    frames: tuple[int, ...]
    """Bytes of each."""

    @property
    def n_bytes(self) -> int:
        return sum(self.frames)


class Terminal:
    """A program in a pseudo-terminal. Use as a context manager: leaving it ends the program."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: str | None = None) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        variables = {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=variables,
            cwd=folder,
            start_new_session=True,
        )
        os.close(follower)
        self._data = bytearray()
        self._ends: list[int] = []
        self._times: list[float] = []
        """Where each read ended in ``_data``, and when it came."""
        self._answered = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family = self._family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(family, timeout=3)
        for process in alive:
            process.kill()
        self._process.wait()
        os.close(self._leader)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def n_bytes(self) -> int:
        """Bytes sent so far."""
        return len(self._data)

    def text(self, since: int = 0) -> str:
        """What was sent from byte ``since`` on, without control sequences."""
        return _CONTROL.sub(b" ", bytes(self._data[since:])).decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        """Type keys as they are (``\\r`` is Enter)."""
        os.write(self._leader, keys.encode())

    def wait_for(self, pattern: str, *, since: int = 0, seconds: float = 120.0) -> float:
        """Seconds from the program's start until the text matches; ``RuntimeError`` with its end when it does not."""
        sought = re.compile(pattern)
        deadline = time.perf_counter() + seconds
        while not sought.search(self.text(since)):
            if not self._read(deadline - time.perf_counter()):
                shown = " ".join(self.text(since).split())[-300:]
                raise RuntimeError(f"{pattern!r} was not shown in {seconds:.0f} s; the last was: {shown}")
        return self._times[-1] - self.started

    def wait_for_frame(self, seconds: float = 120.0) -> float:
        """Seconds from the program's start until the first visible character of its full screen."""
        deadline = time.perf_counter() + seconds
        while (at := self._data.find(FULL_SCREEN)) < 0 or not self.text(at).strip():
            if not self._read(deadline - time.perf_counter()):
                raise RuntimeError(
                    f"no full screen in {seconds:.0f} s; it said: {' '.join(self.text().split())[-300:]}"
                )
        return self._times[-1] - self.started

    def wait_until_quiet(self, quiet_s: float, seconds: float = 120.0) -> float | None:
        """Read until nothing has come for ``quiet_s``; seconds from the start until the last that came.

        None for a program that never rests (a cursor that blinks).
        """
        deadline = time.perf_counter() + seconds
        while self._read(quiet_s):
            if time.perf_counter() >= deadline:
                return None
        return (self._times[-1] if self._times else self.started) - self.started

    def listen(self, seconds: float) -> None:
        """Read what comes within ``seconds``."""
        deadline = time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0 and self._read(left):
            pass

    def answer_to(self, keys: str, quiet_s: float, patience_s: float = 20.0) -> Answer:
        """Type ``keys`` and read until nothing more has come for ``quiet_s``."""
        since, pressed = len(self._data), time.perf_counter()
        self.press(keys)
        if not self._read(patience_s):
            return Answer(None, None, ())
        self.wait_until_quiet(quiet_s)
        found = self._frames(since)
        return Answer(found[0][0] - pressed, found[-1][0] - pressed, tuple(size for _, size in found))

    def frames(self, since: int = 0) -> list[int]:
        """Bytes of every frame sent from byte ``since`` on."""
        return [size for _, size in self._frames(since)]

    def rss_bytes(self) -> int:
        """Resident memory of the program and its children."""
        return sum(self._each(lambda process: process.memory_info().rss))

    def cpu_s(self) -> float:
        """Processor time of the program and its children so far."""
        return sum(self._each(lambda process: sum(process.cpu_times()[:2])))

    def _frames(self, since: int) -> list[tuple[float, int]]:
        """When each frame was whole, and its bytes."""
        data = bytes(self._data[since:])
        cuts = [match.end() for match in re.finditer(re.escape(FRAME_END), data)]
        if not cuts:
            cuts = self._bursts(since)
        found = []
        start = 0
        for cut in cuts:
            # Between two marked frames a title or the cursor may be set: that goes with the next.
            found.append((self._time_of(since + cut), cut - start))
            start = cut
        return found

    def _bursts(self, since: int) -> list[int]:
        cuts = []
        first = bisect.bisect_right(self._ends, since)
        for index in range(first, len(self._ends)):
            last = index + 1 == len(self._ends)
            if last or self._times[index + 1] - self._times[index] > GAP_S:
                cuts.append(self._ends[index] - since)
        return cuts

    def _time_of(self, end: int) -> float:
        return self._times[bisect.bisect_left(self._ends, end)]

    def _each(self, measure: Callable[[psutil.Process], float]) -> list[float]:
        values = []
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                values.append(measure(process))
        return values

    def _family(self) -> list[psutil.Process]:
        try:
            program = psutil.Process(self._process.pid)
            return [program, *program.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _read(self, wait_s: float) -> bool:
        """Take what is there, waiting at most so long; False when nothing came. Questions are answered at once."""
        ready, _, _ = select.select([self._leader], [], [], max(0.0, wait_s))
        if not ready:
            return False
        try:
            block = os.read(self._leader, 1 << 16)
        except OSError:  # the program has closed its side
            return False
        if not block:
            return False
        self._data += block
        self._ends.append(len(self._data))
        self._times.append(time.perf_counter())
        self._reply()
        return True

    def _reply(self) -> None:
        recent = bytes(self._data[self._answered :])
        asked = [(at, question, said) for question, said in _ANSWERS if (at := recent.find(question)) >= 0]
        for _, _, said in sorted(asked):
            os.write(self._leader, said)
        # A question may be cut between two reads: its beginning is looked at again.
        done = max((at + len(question) for at, question, _ in asked), default=0)
        self._answered = max(self._answered + done, len(self._data) - 16)
