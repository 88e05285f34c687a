"""What is sent to the terminal draws the same with fewer bytes."""

from __future__ import annotations

import errno
import io
import os
import pty
import random
import re
from threading import Event, Thread
from types import SimpleNamespace

from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread
from textual.drivers.linux_driver import LinuxDriver

from odyssey_tui.app import OdysseyApp
from odyssey_tui.driver import PLAIN, Outlet, Pen, ThinDriver, Thinner, change, turned
from store.workspace import Workspace

SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


def drawn(texts: list[str]) -> list[tuple[str, Pen]]:
    """Every character and control sequence with the pen it meets, and the pen that each text leaves behind."""
    pen, seen = PLAIN, []
    for text in texts:
        at = 0
        for match in SEQUENCE.finditer(text):
            seen += [(char, pen) for char in text[at : match.start()]]
            at = match.end()
            if match[2] == "m":
                pen = turned(pen, match[1])
            else:
                seen.append((match[0], pen))
        seen += [(char, pen) for char in text[at:]]
        seen.append(("end", pen))
    return seen


def test_every_character_meets_the_same_colours() -> None:
    pick = random.Random(3)
    codes = ["0", "", "1", "2", "3", "4", "7", "9", "22", "23", "24", "27", "39", "49", "31", "44", "92", "103"]
    codes += ["38;2;1;2;3", "38;2;200;100;50", "48;2;16;16;16", "38;5;208", "48;5;17", "1;38;2;9;9;9;48;2;1;1;1"]
    others = ["a", "⣿", " ", "\x1b[2;5H", "\x1b[K", "\x1b[?25l", "\n", "xyz"]
    texts = [
        "".join(f"\x1b[{pick.choice(codes)}m" if pick.random() < 0.6 else pick.choice(others) for _ in range(40))
        for _ in range(300)
    ]
    thinner = Thinner()
    thin = [thinner.thin(text) for text in texts]
    assert drawn(thin) == drawn(texts)
    assert sum(map(len, thin)) < sum(map(len, texts))


def test_only_what_changes_is_sent() -> None:
    ground = "48;2;18;18;18"
    cells = [f"\x1b[38;2;{shade};0;0;{ground}m⣿\x1b[0m" for shade in (200, 200, 90)]
    assert Thinner().thin("".join(cells)) == f"\x1b[38;2;200;0;0;{ground}m⣿⣿\x1b[38;2;90;0;0m⣿\x1b[m"
    assert change(Pen("31", "", frozenset({1})), Pen("31")) == "\x1b[0;31m"
    assert change(Pen("31", "44"), Pen("", "44")) == "\x1b[39m"


def test_the_application_draws_by_it_on_a_terminal(empty: Workspace) -> None:
    app = OdysseyApp(empty)
    assert app.driver_class is ThinDriver
    assert issubclass(ThinDriver, LinuxDriver)


class Gone(io.StringIO):
    """A terminal that has closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_nobody_is_there_to_see_is_dropped_and_the_writing_goes_on() -> None:
    thread = WriterThread(Outlet(Gone()))
    thread.start()
    for _ in range(3 * MAX_QUEUED_WRITES):
        thread.write("x")
    thread.stop()


def test_the_thread_that_reads_keys_ends_with_the_terminal() -> None:
    """Even where the application has ended and told nobody: it would find the end of input again and again."""
    leader, follower = pty.openpty()
    driver, told = object.__new__(ThinDriver), []
    driver.fileno, driver.exit_event, driver._debug = follower, Event(), False
    driver._loop = SimpleNamespace(call_soon_threadsafe=told.append)
    driver._app = SimpleNamespace(hang_up="hung up")
    keys = Thread(target=driver.run_input_thread, daemon=True)
    keys.start()
    os.close(leader)
    driver._wait_for_hangup()
    keys.join(timeout=30)
    assert not keys.is_alive()
    os.close(follower)
    assert told == ["hung up"]
