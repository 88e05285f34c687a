"""TensorBoard: folders of event files, each folder one run. Scalars, hyper-parameters and texts are read.

The messages are tensorboard/compat/proto/{event,summary,tensor}.proto and plugins/hparams/plugin_data.proto.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.importers.protobuf import WireError, grouped, message, real, signed, text
from engine.importers.recorded import Found, Measurement, Recorded, Unread
from engine.importers.tfrecord import read_records

EVENT_FILE = re.compile(r".*\.tfevents\..*")
_HPARAMS_FOLDER = re.compile(r"\d{9,}\.\d+")
"""torch and tensorboardX write ``add_hparams`` into a folder of their own, named by the time."""
_CHECKED_BYTES = 1 << 16
"""Pictures and the like have bigger records; nothing is read from those, and their checksums would take long."""
_HPARAMS_START, _HPARAMS_END = "_hparams_/session_start_info", "_hparams_/session_end_info"
_FLOATS = {1: ("f", 5), 2: ("d", 6)}
"""Type of a tensor: struct code, and the field that holds values one by one (DT_FLOAT, DT_DOUBLE)."""
_WHOLES = {3: 7, 9: 10}
"""DT_INT32, DT_INT64: the field of values."""
_STATUS = {1: "done", 2: "failed", 3: "lost"}
"""hparams.Status: SUCCESS, FAILURE, RUNNING."""


@dataclass
class _Log:
    """What the event files of one run hold."""

    logged: list[tuple[float, int, dict[str, float]]] = field(default_factory=list)
    """(time, step, values); values of one step that were logged one after the other are together."""
    config: dict[str, Any] = field(default_factory=dict)
    plugins: dict[str, str] = field(default_factory=dict)
    """By tag; a writer names the plugin with a tag's first value only."""
    first: float | None = None
    last: float | None = None
    status: int = 0


def read(paths: Iterable[Path]) -> Found:
    """The runs below ``paths`` (folders, or event files, whose folders are then read)."""
    folders: dict[Path, Path] = {}
    for path in paths:
        root = path if path.is_dir() else path.parent
        for folder in _folders(root):
            folders.setdefault(folder, root)
    owners = {folder: _owner(folder, folders) for folder in folders}
    runs, unread = [], []
    for owner in dict.fromkeys(owners.values()):
        log = _Log()
        files = [file for folder in folders if owners[folder] == owner for file in _event_files(folder)]
        files.sort(key=lambda file: (file.parent != owner, file.name))
        for file in files:
            _read_file(file, log, unread)
        if log.first is None:
            unread.extend(Unread(file, "", "holds no event that could be read") for file in files)
            continue
        runs.append(_recorded(owner, folders[owner], files, log))
    return Found(tuple(runs), tuple(unread))


def _folders(root: Path) -> Iterator[Path]:
    for folder, _, names in sorted(os.walk(root)):
        if any(map(EVENT_FILE.fullmatch, names)):
            yield Path(folder)


def _owner(folder: Path, folders: Iterable[Path]) -> Path:
    return folder.parent if _HPARAMS_FOLDER.fullmatch(folder.name) and folder.parent in folders else folder


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder / name for name in os.listdir(folder) if EVENT_FILE.fullmatch(name))


def _recorded(folder: Path, root: Path, files: list[Path], log: _Log) -> Recorded:
    name = str(folder.relative_to(root)) if folder != root else folder.resolve().name
    return Recorded(
        tool="tensorboard",
        source=folder,
        source_id=f"{files[0].name}@{log.first!r}",
        name=name,
        project=root.resolve().name,
        config=log.config,
        measurements=tuple(Measurement(*group) for group in log.logged),
        started=log.first,
        ended=log.last,
        state=_STATUS.get(log.status, "done"),
        reason="" if _STATUS.get(log.status, "done") == "done" else "TensorBoard's hparams say so",
    )


def _read_file(path: Path, log: _Log, unread: list[Unread]) -> None:
    def complain(place: str, reason: str) -> None:
        unread.append(Unread(path, place, reason))

    try:
        for offset, data, check in read_records(path, complain):
            if len(data) <= _CHECKED_BYTES and not check():
                complain(f"byte {offset}", "a record is damaged (its checksum differs)")
                continue
            try:
                _take_event(grouped(data), log)
            except (WireError, struct.error, OverflowError) as error:
                complain(f"byte {offset}", f"a record is no event: {error}")
    except OSError as error:
        complain("", f"cannot be read: {error.strerror or error}")


def _take_event(event: dict[int, Any], log: _Log) -> None:
    t, step = real(event[1][-1]) if 1 in event else 0.0, signed(event.get(2, [0])[-1])
    log.first = t if log.first is None else min(log.first, t)
    log.last = t if log.last is None else max(log.last, t)
    for content in grouped(message(event, 5)).get(1, []):
        value = grouped(content)
        tag = text(value, 1)
        plugin = grouped(message(grouped(message(value, 9)), 1))
        if name := text(plugin, 1):
            log.plugins[tag] = name
        kind = log.plugins.get(tag, "scalars")
        if tag in (_HPARAMS_START, _HPARAMS_END):
            _take_hparams(tag, grouped(message(plugin, 2)), log)
        elif kind == "scalars" and (number := _scalar(value)) is not None:
            _add(log, t, step, tag, number)
        elif kind == "text":
            log.config[tag.removesuffix("/text_summary")] = _text(value)


def _add(log: _Log, t: float, step: int, tag: str, number: float) -> None:
    if log.logged and log.logged[-1][1] == step and tag not in log.logged[-1][2]:
        log.logged[-1][2][tag] = number
    else:
        log.logged.append((t, step, {tag: number}))


def _scalar(value: dict[int, Any]) -> float | None:
    """A simple value, or a tensor of one number; None for anything else."""
    if 2 in value:
        return real(value[2][-1])
    if 8 not in value:
        return None
    tensor = grouped(message(value, 8))
    kind, content = tensor.get(1, [0])[-1], message(tensor, 4)
    if kind in _FLOATS:
        code, single = _FLOATS[kind]
        content = content or b"".join(part for part in tensor.get(single, []) if isinstance(part, bytes))
        return struct.unpack(f"<{code}", content)[0] if len(content) == struct.calcsize(code) else None
    if kind in _WHOLES:
        if content:
            return float(int.from_bytes(content, "little", signed=True)) if len(content) in (4, 8) else None
        values = [part for part in tensor.get(_WHOLES[kind], []) if isinstance(part, int)]
        return float(signed(values[0])) if len(values) == 1 else None
    return None


def _text(value: dict[int, Any]) -> str:
    parts = grouped(message(value, 8)).get(8, [])
    return "\n".join(part.decode(errors="replace") for part in parts if isinstance(part, bytes))


def _take_hparams(tag: str, data: dict[int, Any], log: _Log) -> None:
    if tag == _HPARAMS_END:
        log.status = grouped(message(data, 4)).get(1, [0])[-1]
        return
    for entry in grouped(message(data, 3)).get(1, []):
        pair = grouped(entry)
        log.config[text(pair, 1)] = _struct_value(grouped(message(pair, 2)))


def _struct_value(value: dict[int, Any]) -> Any:
    """A ``google.protobuf.Value``: a number, a text or a truth value; None for others."""
    if 2 in value:
        number = real(value[2][-1])
        return int(number) if math.isfinite(number) and number == int(number) else number
    if 3 in value:
        return text(value, 3)
    return bool(value[4][-1]) if 4 in value else None
