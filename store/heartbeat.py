"""Signs of life across machines: how old a file is by the clock of the file system that holds it.

Clocks of two machines differ; both files here get their times from the same one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from store.files import temporary_name


def beat(path: Path) -> None:
    """Say that whoever keeps ``path`` lives; nothing when it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return


def stop(path: Path) -> None:
    """Say that whoever kept ``path`` has left, so that nobody waits for its next beat."""
    try:
        os.utime(path, (0, 0))
    except FileNotFoundError:
        return


def age_s(path: Path) -> float | None:
    """Seconds since ``path`` was written or beaten; None when there is no such file."""
    try:
        written = path.stat().st_mtime
    except OSError:
        return None
    probe = path.with_name(temporary_name("clock"))
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        # Nothing can be written here: this machine's clock is the only one to ask.
        now = time.time()
    return now - written
