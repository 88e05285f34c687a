"""Room on disks: whether a write failed for want of it, how much there is, and a reserve for the last words."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Libraries that write by themselves hand on the system's words (safetensors, arrow), numpy its own.
_FULL_WORDS = re.compile(
    r"no space left on device|os error 28\b|disk quota exceeded|\d+ requested and \d+ written", re.I
)
NO_SPACE = "no space left on"
"""How a reason begins when a disk is full."""
LEAST_BYTES = 16_000_000
"""With less than this free nothing is started: logs and journals alone may need it."""
RESERVE_BYTES = 65_536


@dataclass(frozen=True)
class Room:
    """The file system that holds a folder."""

    device: str
    place: Path
    """Where it is mounted."""
    free_bytes: int

    def __str__(self) -> str:
        return f"{NO_SPACE} {self.device} at {self.place} ({self.free_bytes / 1e6:.0f} MB free)"


def is_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, is a write for which there was no room (or no quota)."""
    return any(
        (isinstance(cause, OSError) and cause.errno in FULL) or _FULL_WORDS.search(str(cause)) is not None
        for cause in chain(error)
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the newest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def look_at(path: Path) -> Room:
    """The file system of ``path``, or of its nearest folder that exists."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    place = folder.resolve()
    while not os.path.ismount(place):
        place = place.parent
    import psutil  # 15 ms, which a command that only reads need not wait for

    devices = {Path(part.mountpoint): part.device for part in psutil.disk_partitions(all=True)}
    return Room(devices.get(place) or "the disk", place, free)


class Reserve:
    """A small file that takes room while there is some, and gives it up for the last words of whoever runs out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # On a disk that is full already there is nothing to set aside; the first write then says so.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                file.write(os.urandom(RESERVE_BYTES))

    def give_up(self) -> None:
        """Make room. Safe to call again."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
