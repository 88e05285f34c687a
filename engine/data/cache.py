"""Cache entries: folders that appear whole or not at all, whoever builds them and however often."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from store.errors import DataError
from store.files import cannot_write, sync

ABANDONED_S = 7 * 86_400.0
"""Longer than any build and any step of the clock."""


def cached_folder(folder: Path, build: Callable[[Path], None]) -> Path:
    """``folder``, made by ``build(temporary_folder)`` when it is not there yet.

    Two processes may build the same entry at once: both build, the first to rename wins and the other takes its result,
    which is the same by construction (names are content keys). Raises WorkspaceError when the cache cannot be written.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        build(temporary)
        temporary.chmod(0o755)
        _sync(temporary)
        os.rename(temporary, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not folder.is_dir():
            raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Within, files of the entry that are gone, cut short or hold something else are one DataError: what to delete."""
    try:
        yield
    except (OSError, ValueError, EOFError, TypeError, KeyError, AttributeError, DataError) as error:
        told = error.message if isinstance(error, DataError) else str(error) or type(error).__name__
        raise DataError(
            f"the cached {folder} is damaged: {' '.join(told.split())[:200]}",
            "Delete that folder and retry the run: it is made again.",
        ) from error


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        sync(path)


def _sweep(folder: Path) -> None:
    """Remove what builders of this entry left behind when they were killed."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
