"""Which code this is: version, commit, and a hash of the sources that compute results (``engine`` and ``store``)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("engine", "store")
LAWS = ("engine/laws",)
SUFFIXES = (".py", ".sql")
_GIT_S = 5.0


@dataclass(frozen=True)
class Code:
    """A state of the sources. Two are the same code when their ``hash`` is."""

    hash: str
    version: str = ""
    git: str | None = None
    """Commit of the checkout; None for an installed package."""
    dirty: bool = False
    """Whether the sources in the checkout differ from its commit."""

    def __str__(self) -> str:
        commit = f", commit {self.git[:10]}{' with changes' if self.dirty else ''}" if self.git else ""
        return f"{self.version or 'unknown version'} ({self.hash}{commit})"

    def record(self) -> dict[str, Any]:
        """Plain values, for a journal or a ticket."""
        return asdict(self)


def read_code(root: Path | None = None) -> Code:
    """The code as it lies on the disk now, in ``root`` or where this module is; takes about 20 ms."""
    root = root or _root()
    try:
        version = metadata.version("odyssey-tui")
    except metadata.PackageNotFoundError:
        version = ""
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    changes = _git(root, "status", "--porcelain", "--", *PACKAGES) if commit else None
    return Code(hash_sources(root), version, commit, bool(changes))


def parse_code(value: object) -> Code | None:
    """A code as ``record`` gave it; None for anything else."""
    if not isinstance(value, Mapping) or not isinstance(value.get("hash"), str):
        return None
    git, version = value.get("git"), value.get("version")
    return Code(value["hash"], str(version or ""), git if isinstance(git, str) else None, bool(value.get("dirty")))


def describe_laws() -> str:
    """The code that fits laws, in words: ``0.1.0, laws 3fa2c1b7d0e4``."""
    try:
        version = metadata.version("odyssey-tui")
    except metadata.PackageNotFoundError:
        version = "unknown version"
    return f"{version}, laws {hash_sources(packages=LAWS)}"


def hash_sources(root: Path | None = None, packages: Sequence[str] = PACKAGES) -> str:
    """Twelve hexadecimal digits of the contents and names of all sources in these folders."""
    digest = hashlib.blake2b(digest_size=6)
    root = root or _root()
    for path in _sources(root, packages):
        # A file that is just being replaced is missing for an instant, or for good.
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def stamp_sources(root: Path | None = None) -> int:
    """A number that changes when a source is written, added or removed; reads no content (1 ms)."""
    found = []
    for path in _sources(root or _root(), PACKAGES):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found.append((str(path), status.st_mtime_ns, status.st_size))
    return hash(tuple(found))


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def _sources(root: Path, packages: Sequence[str]) -> Iterator[Path]:
    for package in packages:
        for folder, folders, files in os.walk(root / package):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(files):
                if name.endswith(SUFFIXES) and not name.startswith("."):
                    yield Path(folder, name)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ("git", "-C", str(root), *arguments), capture_output=True, text=True, check=False, timeout=_GIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
