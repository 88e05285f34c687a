"""A real terminal for functional tests: a program behind a pseudo-terminal, fed keys, read until something appears."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

CONTROL = re.compile(rb"\x1b\[[0-9;?>=$]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class Terminal:
    """A program in a pseudo-terminal of ``columns`` by ``rows``. Use as a context manager: leaving it hangs up."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=follower, env=dict(environment), start_new_session=True
        )
        os.close(follower)
        self._seen = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        if self._leader >= 0:
            os.close(self._leader)

    @property
    def text(self) -> str:
        """Everything written so far, without control sequences; nothing that was overwritten is missing."""
        return CONTROL.sub(b"", self._seen).decode("utf-8", "replace")

    @property
    def left_behind(self) -> str:
        """What was written after the ordinary screen was asked for again, without control sequences."""
        return CONTROL.sub(b"", self._seen.rpartition(b"\x1b[?1049l")[2]).decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        """Type keys as they are (``\\r`` is Enter)."""
        os.write(self._leader, keys.encode())

    def vanish(self) -> None:
        """Close the terminal under the program, which no signal tells: the terminal does not control it."""
        os.close(self._leader)
        self._leader = -1

    @property
    def exit_status(self) -> int:
        """Of the program, once it has ended by itself; ``TimeoutExpired`` when it does not."""
        return self._process.wait(timeout=60)

    def send(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self._process.send_signal(number)

    @property
    def restored(self) -> bool:
        """Whether the ordinary screen was the last one asked for."""
        return self._seen.rfind(b"\x1b[?1049l") > self._seen.rfind(b"\x1b[?1049h")

    def forget(self) -> None:
        """Let ``wait_for`` look only at what is written from now on."""
        self._seen = b""

    def wait_for(self, pattern: str, *, seconds: float = 60.0) -> str:
        """Read until the text matches; AssertionError with the text when it does not in time."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} did not appear in:\n{self.text[-4000:]}")
        return match[0]

    def wait_for_sequence(self, sequence: bytes, *, seconds: float = 60.0) -> None:
        """Read until a control sequence was written, as it is; AssertionError when it was not in time."""
        deadline = time.monotonic() + seconds
        while sequence not in self._seen:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{sequence!r} did not appear in:\n{self._seen[-4000:]!r}")

    def wait(self, *, seconds: float = 60.0) -> int:
        """Read until the program ends; its exit status."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        return self._process.wait(timeout=max(0.1, deadline - time.monotonic()))

    def _read(self, wait_s: float) -> bool:
        """Take what is there, waiting at most so long; False when nothing came."""
        ready, _, _ = select.select([self._leader], [], [], max(0.0, wait_s))
        if not ready:
            return False
        try:
            block = os.read(self._leader, 65536)
        except OSError:  # the program has closed its side
            return False
        self._seen += block
        return bool(block)
