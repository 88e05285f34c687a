"""What the application sends to the terminal, without colours that are set already.

Textual colours every piece of a line from nothing: foreground, background, reset, up to 45 bytes for one character of
a chart. A terminal keeps its colours until it is told others, so only what changes is sent: over SSH a frame arrives in
half the time. Every character still meets the same colours.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
from collections.abc import Callable
from functools import lru_cache
from threading import Thread
from typing import IO, Any, NamedTuple, cast

from textual.drivers.linux_driver import LinuxDriver

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_COLORS = {3: "fg", 4: "bg", 9: "fg", 10: "bg"}
"""What a code's tens set."""
_OFF = {22: (1, 2), 23: (3,), 24: (4, 21), 25: (5, 6), 27: (7,), 28: (8,), 29: (9,), 55: (53,)}
"""What the codes that end attributes end."""


class Pen(NamedTuple):
    """How a terminal writes: colours as the codes that set them (empty: its own), attributes as codes."""

    fg: str = ""
    bg: str = ""
    attributes: frozenset[int] = frozenset()


PLAIN = Pen()


class Thinner:
    """Leaves out what changes nothing; remembers how the terminal writes from one text to the next."""

    def __init__(self) -> None:
        self._wanted = PLAIN
        """How the terminal would write after what was given so far; at its end it does."""

    def thin(self, data: str) -> str:
        """Text that draws the same, and leaves the terminal writing alike."""
        pieces = _SGR.split(data)
        if len(pieces) == 1:
            return data
        now = wanted = self._wanted
        sent = [pieces[0]]
        for codes, text in zip(pieces[1::2], pieces[2::2], strict=True):
            wanted = turned(wanted, codes)
            if text:
                if wanted != now:
                    sent.append(change(now, wanted))
                    now = wanted
                sent.append(text)
        if wanted != now:
            sent.append(change(now, wanted))
        self._wanted = wanted
        return "".join(sent)


@lru_cache(maxsize=4096)
def turned(pen: Pen, codes: str) -> Pen:
    """The pen after an SGR sequence of these codes (ECMA-48 8.3.117; colours by 38 and 48 as in ISO 8613-6)."""
    fg, bg, attributes = pen
    given = [int(code or 0) for code in codes.split(";")]
    at = 0
    while at < len(given):
        code = given[at]
        at += 1
        if code == 0:
            fg, bg, attributes = PLAIN
        elif code in (38, 48):
            length = {2: 4, 5: 2}.get(given[at] if at < len(given) else 0, 1)
            color = ";".join(map(str, (code, *given[at : at + length])))
            at += length
            fg, bg = (color, bg) if code == 38 else (fg, color)
        elif code in (39, 49):
            fg, bg = ("", bg) if code == 39 else (fg, "")
        elif (plane := _COLORS.get(code // 10)) is not None:
            fg, bg = (str(code), bg) if plane == "fg" else (fg, str(code))
        elif code in _OFF:
            attributes = attributes.difference(_OFF[code])
        else:
            attributes = attributes | {code}
    return Pen(fg, bg, attributes)


@lru_cache(maxsize=4096)
def change(now: Pen, wanted: Pen) -> str:
    """The shortest sequence that makes one pen the other."""
    anew = [code for code in (*map(str, sorted(wanted.attributes)), wanted.fg, wanted.bg) if code]
    ways = [["0", *anew] if anew else []]
    if now.attributes <= wanted.attributes:
        step = [str(code) for code in sorted(wanted.attributes - now.attributes)]
        step += [wanted.fg or "39"] if wanted.fg != now.fg else []
        step += [wanted.bg or "49"] if wanted.bg != now.bg else []
        ways.append(step)
    return min((f"\x1b[{';'.join(way)}m" for way in ways), key=len)


class Outlet:
    """A file to draw on for as long as there is somebody behind it: what cannot be written any more is dropped.

    Otherwise the thread that writes ends by the error, and the application waits for it to take what it draws.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._gone = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        self._attempt(lambda: self._file.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._file.flush)

    def _attempt(self, send: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            send()
        except OSError:
            self._gone = True


class ThinDriver(LinuxDriver):
    """Textual's driver for terminals: it sends less, and notices that the terminal is gone."""

    def __init__(self, *given: object, **options: object) -> None:
        super().__init__(*given, **options)  # type: ignore[arg-type]
        self._thinner = Thinner()
        self._file = cast("IO[str]", Outlet(self._file))
        self._watch: Thread | None = None

    def write(self, data: str) -> None:
        super().write(self._thinner.thin(data))

    def start_application_mode(self) -> None:
        super().start_application_mode()
        if self._watch is None:
            self._watch = Thread(target=self._wait_for_hangup, name="odyssey-hangup", daemon=True)
            self._watch.start()

    def run_input_thread(self) -> None:
        try:
            super().run_input_thread()
        except OSError as error:
            # The terminal is gone: who waits for that tells.
            if error.errno != errno.EIO:
                raise

    def _wait_for_hangup(self) -> None:
        """Leave when the terminal closes. A signal says so to whom it controls alone, and the thread that reads keys
        takes the end of input for another look at once, again and again.
        """
        poll = select.poll()
        poll.register(self.fileno, 0)
        # Where terminals cannot be polled (macOS) the answer is another one, at once.
        if any(event & select.POLLHUP for _, event in poll.poll()):
            self._mute()
            # Whatever has become of the application: that thread keeps its process alive.
            self.exit_event.set()
            # An application that has ended needs not be told.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._app.hang_up)

    def _mute(self) -> None:
        """Send nowhere what would still be said to the terminal: parting words are no reason to fail."""
        null = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            if os.fstat(descriptor).st_rdev == os.fstat(self.fileno).st_rdev:
                os.dup2(null, descriptor)
        os.close(null)
