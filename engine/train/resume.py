"""The checkpoint that an unfinished run goes on from: ``checkpoints/resume/state.pt``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from store.errors import DataError
from store.files import cannot_write, temporary_name

FORMAT = 2
FILE = "state.pt"


def save_resume(folder: Path, content: dict[str, Any]) -> None:
    """Write the checkpoint so that a reader sees the old one or the new one, never a part."""
    target = folder / FILE
    temporary = folder / temporary_name(FILE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_resume(folder: Path) -> dict[str, Any] | None:
    """The checkpoint, on the CPU; None when there is none. ``DataError`` when it cannot be read."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(
            f"cannot read the checkpoint {path}: {' '.join(str(error).split())[:200]}",
            f"Delete {folder} to start the run over.",
        ) from error
    if content.get("format") != FORMAT:
        raise DataError(
            f"the checkpoint {path} was written by another version of this program",
            f"Delete {folder} to start the run over.",
        )
    return content


def discard_resume(folder: Path) -> None:
    """Remove the checkpoint of a run that is done."""
    shutil.rmtree(folder, ignore_errors=True)
