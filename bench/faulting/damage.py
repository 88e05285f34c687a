"""Ways in which a file of a workspace can be damaged, each from a seeded generator."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRONG: tuple[Any, ...] = (None, True, -1, 0.5, 1e400, 2**80, "", "nothing", "\ud800", [], {}, [[]], {"a": {}})
SQLITE = b"SQLite format 3\x00" + bytes(4096)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(max(1, len(data)))])


def garbage(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice((10, 1000, 20_000))))


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes() or b"x")
    for _ in range(rng.choice((1, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def nuls(path: Path, rng: random.Random) -> None:
    """As after a power cut: a stretch of the file was never written."""
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data) + 1)
    data[start : start + 4096] = bytes(min(4096, max(16, len(data) - start)))
    path.write_bytes(data)


def other_kind(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.choice((PNG, SQLITE, b"PAR1PAR1", b"{}", b"[]", b"null\n", b"7")))


def folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice((path.name, "nowhere")))


def wrong_values(path: Path, rng: random.Random) -> None:
    """One or more values of a JSON file, or of lines of a journal, of another type or gone."""
    text = path.read_text(errors="replace")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    for _ in range(rng.choice((1, 3))):
        index = rng.randrange(max(1, len(lines)))
        try:
            value = json.loads(lines[index])
        except (ValueError, IndexError):
            continue
        lines[index] = json.dumps(_spoil(value, rng))
    path.write_text("".join(f"{line}\n" for line in lines))


def _spoil(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.95:
        name = rng.choice(sorted(value))
        if rng.random() < 0.25:
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: _spoil(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(len(value))
        return [*value[:index], _spoil(value[index], rng), *value[index + 1 :]]
    return rng.choice(WRONG)


def disorder(path: Path, rng: random.Random) -> None:
    """Lines of a journal are missing, twice there, or glued together."""
    lines = path.read_bytes().splitlines(keepends=True) or [b"\n"]
    index = rng.randrange(len(lines))
    lines[index : index + 1] = rng.choice(([], [lines[index]] * 3, [lines[index].rstrip(b"\n")], lines[index:] + lines))
    path.write_bytes(b"".join(lines))


def long_line(path: Path, rng: random.Random) -> None:
    with open(path, "ab") as file:
        file.write(b'{"seq": 99, "t": 1.0, "event": "warning", "message": "' + b"x" * 3_000_000 + b'"}\n')


ANY: tuple[Callable[[Path, random.Random], None], ...] = (
    empty, truncate, garbage, flip, nuls, other_kind, folder, dangling,
)  # fmt: skip
BY_SUFFIX: dict[str, tuple[Callable[[Path, random.Random], None], ...]] = {
    ".jsonl": (wrong_values, wrong_values, wrong_values, disorder, disorder, long_line),
    ".json": (wrong_values, wrong_values, wrong_values, wrong_values),
}


def damage(path: Path, rng: random.Random) -> str:
    """Damage one file; says how."""
    way = rng.choice((*ANY, *BY_SUFFIX.get(path.suffix, ())))
    way(path, rng)
    return way.__name__.replace("_", " ")


def fingerprint(path: Path) -> bytes | str | None:
    """What stands at a path: its bytes, where a link leads, ``folder``; None for nothing."""
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    if path.is_dir():
        return "folder"
    return path.read_bytes() if path.exists() else None


def copy_workspace(source: Path, target: Path) -> None:
    """A copy that owns all of its files."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
