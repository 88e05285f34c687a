"""A folder in which nobody may write: also when the tests run as root, whom permissions do not bind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def folder_with_rights() -> Iterator[Path]:
    """A new folder of this process's own, to whose files permissions apply within."""
    was_root = os.geteuid() == 0
    try:
        if was_root:
            os.seteuid(NOBODY)
        folder = Path(tempfile.mkdtemp(prefix="odyssey-rights-"))
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        shutil.rmtree(folder)


@contextmanager
def closed_folder() -> Iterator[Path]:
    """A folder into which, within, this process may not even look."""
    with readonly_copy(Path.mkdir) as folder:
        was = os.geteuid()
        os.seteuid(os.getuid())
        folder.chmod(0)
        os.seteuid(was)
        yield folder


@contextmanager
def readonly_copy(make: Callable[[Path], object]) -> Iterator[Path]:
    """A folder filled by ``make``, then read-only; within, this process has no right to change it."""
    # Not pytest's folder: only its owner may enter that.
    outer = Path(tempfile.mkdtemp(prefix="odyssey-readonly-"))
    folder = outer / "workspace"
    make(folder)
    parts = [outer, *outer.rglob("*")]
    for part in parts:
        part.chmod(0o555 if part.is_dir() else 0o444)
    was_root = os.geteuid() == 0
    try:
        if was_root:
            os.seteuid(NOBODY)
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        for part in parts:
            part.chmod(0o755)
        shutil.rmtree(outer)
