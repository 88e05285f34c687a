"""The text files of the running interpreter: standard library, C headers, installed distributions."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Root = Literal["stdlib", "site", "include"]
OWN = ("odyssey_tui", "engine", "store")
"""This project's packages: text that changes with every commit is no corpus."""
SKIPPED_FOLDERS = ("__pycache__", "site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """One file: ``relative`` is its POSIX path below the root, ``size`` its bytes on disk."""

    root: Root
    relative: str
    path: str
    size: int

    @property
    def doc_id(self) -> str:
        """``ROOT/RELATIVE``: the same on every machine with the same installation."""
        return f"{self.root}/{self.relative}"

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the name."""
        return PurePosixPath(self.relative).parts


@functools.cache
def installed_files() -> tuple[InstalledFile, ...]:
    """Every file below the interpreter's standard library, include folder and import path's site folders, once."""
    found: dict[str, InstalledFile] = {}
    for root, folder in _roots():
        for file in _walk(root, folder, ""):
            if not _own(file):
                found.setdefault(file.doc_id, file)
    return tuple(found.values())


def _roots() -> Iterator[tuple[Root, str]]:
    yield "stdlib", sysconfig.get_path("stdlib")
    yield "include", sysconfig.get_path("include")
    sites = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path]
    for site in dict.fromkeys(sites):
        if os.path.basename(site) in ("site-packages", "dist-packages"):
            yield "site", site


def _walk(root: Root, folder: str, prefix: str) -> Iterator[InstalledFile]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, PermissionError):  # an interpreter need not come with headers
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if entry.name not in SKIPPED_FOLDERS:
                yield from _walk(root, entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield InstalledFile(root, prefix + entry.name, entry.path, entry.stat().st_size)


def _own(file: InstalledFile) -> bool:
    return file.root == "site" and file.relative.startswith((*(f"{name}/" for name in OWN), f"{OWN[0]}-"))
