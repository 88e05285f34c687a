"""The checkpoint that an unfinished run goes on from: ``checkpoints/resume/state.pt``, and the one before it."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from store.errors import DataError
from store.files import cannot_write, temporary_name

FORMAT = 2
FILE, PREVIOUS = "state.pt", "previous.pt"


def save_resume(folder: Path, content: dict[str, Any]) -> None:
    """Write the checkpoint, keeping the one before it; a reader finds one of them whole at any time.

    A write that fails (a full disk) leaves both as they were.
    """
    target = folder / FILE
    temporary = folder / temporary_name(FILE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.replace(target, folder / PREVIOUS)
        os.replace(temporary, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_resume(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, on the CPU; None when there is none at all.

    ``warn`` is told of a newer one that is damaged; ``DataError`` when no older one is left.
    """
    there = [path for path in (folder / FILE, folder / PREVIOUS) if path.exists()]
    for path in there:
        try:
            return _read(path)
        except DataError as error:
            if path == there[-1]:
                raise
            warn(f"{error.message}; the run goes on from the checkpoint before it")
    return None


def _read(path: Path) -> dict[str, Any]:
    advice = f"Delete {path.parent} to start the run over."
    try:
        # torch does not look at the checksums of what it reads.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"cannot read the checkpoint {path}: {reason}", advice) from error
    if damaged is not None:
        raise DataError(f"cannot read the checkpoint {path}: its part {damaged} is damaged", advice)
    if content.get("format") != FORMAT:
        raise DataError(f"the checkpoint {path} was written by another version of this program", advice)
    return content


def discard_resume(folder: Path) -> None:
    """Remove the checkpoint of a run that is done."""
    shutil.rmtree(folder, ignore_errors=True)
