"""A real file system of a few megabytes, to be filled or made read-only. Needs root; tests skip without it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A file system in memory, mounted at ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a file system")
    command = (mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(("umount", "-l", str(place)), check=True)


def make_readonly(place: Path) -> None:
    """Mount it again, without the right to write."""
    subprocess.run(("mount", "-o", "remount,ro", str(place)), check=True)


@contextmanager
def filled(place: Path, *, but_bytes: int) -> Iterator[None]:
    """Leave ``but_bytes`` free."""
    filler = place / "filler"
    with open(filler, "wb") as file:
        file.write(bytes(max(0, shutil.disk_usage(place).free - but_bytes)))
    try:
        yield
    finally:
        filler.unlink()
