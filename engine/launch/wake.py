"""Waking another process of this machine at once, rather than at its next look: a datagram to a name without a file.

Only ever a hint. What there is to do stands in files, at which everybody looks now and then: where there are no such
names (they are Linux's, see unix(7), abstract sockets), or on another machine, it is found at the next look.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import socket
import time
from pathlib import Path


class Sleeper:
    """Sleeps until a time has passed, or somebody calls ``wake`` with the same path. Nothing is made at the path."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(_address(path))
        except OSError:
            self.close()

    def sleep(self, seconds: float) -> None:
        if self._socket.fileno() < 0:
            time.sleep(seconds)
            return
        if select.select([self._socket], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()


def wake(path: Path) -> None:
    """Wake whoever sleeps there; nothing happens where nobody does."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.setblocking(False)
        sender.sendto(b"!", _address(path))


def _address(path: Path) -> bytes:
    return b"\0odyssey-" + hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32].encode()
