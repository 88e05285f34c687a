"""Which tool's files these are, told by what is in them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from engine.importers import table, tensorboard, trackio, wandb
from engine.importers.recorded import Found, Recorded, Tool, Unread
from engine.importers.tfrecord import masked_crc32c
from store.errors import OdysseyError

KINDS: dict[str, Tool] = {"trackio": "trackio", "tensorboard": "tensorboard", "wandb": "wandb", "points": "table"}
"""What the command calls them."""
_SAID: dict[Tool, str] = {"trackio": "Trackio", "tensorboard": "TensorBoard", "wandb": "Weights & Biases"}
_NO_ROW = {False: "holds no row", True: "holds no row with the values of --where"}
_UNKNOWN = "neither Trackio's, TensorBoard's nor Weights & Biases' file, nor a table (.csv, .tsv, .jsonl, .parquet)"


def read_all(paths: Iterable[Path], tool: Tool | None, mapped: Mapping[str, str], where: Mapping[str, str]) -> Found:
    """Every run that ``paths`` hold, of one tool or of any. Raises what is wrong with a table if it is all there is."""
    by_tool: dict[Tool, list[Path]] = {}
    unread: list[Unread] = []
    runs: list[Recorded] = []
    paths = list(dict.fromkeys(paths))
    for path in paths:
        found = [tool] if tool else sorted(recognise(path))
        if not path.exists():
            unread.append(Unread(path, "", "there is no such file or folder"))
        elif not found:
            unread.append(Unread(path, "", f"holds nothing that is known: {_UNKNOWN}" if path.is_dir() else _UNKNOWN))
        else:
            for name in found:
                by_tool.setdefault(name, []).append(path)
    for name, those in by_tool.items():
        if name != "table":
            found_runs = _READERS[name](those)
            runs += found_runs.runs
            unread += found_runs.unread or _nothing(found_runs, those, f"holds no file of {_SAID[name]}")
            continue
        for path in those:
            try:
                found_runs = table.read([path], mapped, where)
            except OdysseyError as error:
                if len(paths) == 1:
                    raise
                unread.append(Unread(path, "", f"{error.message.removeprefix(f'{path}: ')} {error.hint}"))
                continue
            runs += found_runs.runs
            unread += found_runs.unread or _nothing(found_runs, [path], _NO_ROW[bool(where)])
    return Found(tuple(runs), tuple(unread))


def _nothing(found: Found, paths: Iterable[Path], reason: str) -> list[Unread]:
    """A word about each path where a reader brought neither runs nor complaints."""
    return [] if found.runs else [Unread(path, "", reason) for path in paths]


_READERS: Mapping[Tool, Callable[[Iterable[Path]], Found]] = {
    "trackio": trackio.read,
    "tensorboard": tensorboard.read,
    "wandb": wandb.read,
}


def recognise(path: Path) -> set[Tool]:
    """The tools whose files ``path`` is, or holds; a folder's tables are taken only when they are named."""
    if path.is_dir():
        return {tool for file in _files(path) for tool in recognise(file) if tool != "table"}
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        return set()
    if head == trackio.MAGIC:
        return {"trackio"}
    if head.startswith(wandb.MAGIC[:4]):
        return {"wandb"}
    if len(head) >= 12 and masked_crc32c(head[:8]) == struct.unpack_from("<I", head, 8)[0]:
        return {"tensorboard"}
    if tensorboard.EVENT_FILE.fullmatch(path.name):
        return {"tensorboard"}
    return {"table"} if path.suffix.lower() in table.SUFFIXES else set()


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in sorted(os.walk(folder)):
        yield from (Path(parent) / name for name in sorted(names))
