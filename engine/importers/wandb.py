"""Weights & Biases: the ``run-ID.wandb`` file of a run's local folder, written offline or online.

A LevelDB log (blocks of 32 kB; CRC-32 of type and data) of ``wandb_internal.proto`` records. Only the fields that are
read are known here by number (those of 0.19 and 0.31 agree); wandb itself is not needed.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.importers.numbers import flatten, numbers_in
from engine.importers.protobuf import WireError, grouped, message, real, signed, text, timestamp, zigzag
from engine.importers.recorded import Found, Measurement, Recorded, Unread

PATTERN = "run-*.wandb"
MAGIC = b":W&B\xe1\xbe\x00"
_BLOCK = 32768
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_NO_END = "Weights & Biases recorded no end: it was killed, or still runs"


def read(paths: Iterable[Path]) -> Found:
    """The runs of ``paths``: ``.wandb`` files, or folders that hold some."""
    files = sorted({file for path in paths for file in (path.rglob(PATTERN) if path.is_dir() else [path])})
    runs, unread = [], []
    for file in files:
        log = _Log()
        try:
            _read_file(file, log, unread)
        except OSError as error:
            unread.append(Unread(file, "", f"cannot be read: {error.strerror or error}"))
            continue
        if not log.run:
            unread.append(Unread(file, "", "holds no description of a run"))
            continue
        if log.others:
            unread.append(Unread(file, "", f"values that are no numbers: {', '.join(sorted(log.others))}"))
        runs.append(_recorded(file, log))
    return Found(tuple(runs), tuple(unread))


@dataclass
class _Log:
    run: dict[int, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    exit_code: int | None = None
    version: str = ""


def _recorded(file: Path, log: _Log) -> Recorded:
    run_id, project = text(log.run, 1), text(log.run, 3)
    started = timestamp(message(log.run, 17))
    config = {key: value for key, value in log.config.items() if key != "_wandb"}
    seen = {name for measurement in log.measurements for name in measurement.values}
    best = {
        key: value
        for key, value in flatten(log.summary)
        if key not in seen and not key.startswith("_") and isinstance(value, int | float | str)
    }
    failed = f"exit code {log.exit_code}" if log.exit_code else ""
    return Recorded(
        tool="wandb",
        source=file.parent,
        source_id="/".join(part for part in (text(log.run, 2), project, run_id) if part),
        name=text(log.run, 8) or run_id,
        project=project,
        config={**config, **({"summary": best} if best else {})},
        measurements=tuple(log.measurements),
        started=started,
        ended=max((m.t for m in log.measurements if m.t), default=started),
        state="lost" if log.exit_code is None else "failed" if log.exit_code else "done",
        reason=_NO_END if log.exit_code is None else failed,
        host=text(log.run, 13),
        version=log.version,
    )


def _read_file(file: Path, log: _Log, unread: list[Unread]) -> None:
    def complain(place: str, reason: str) -> None:
        unread.append(Unread(file, place, reason))

    for offset, data in read_records(file.read_bytes(), complain):
        try:
            record = grouped(data)
            for number in record:
                if number in _TAKE:
                    _TAKE[number](grouped(message(record, number)), log)
        except (WireError, ValueError, TypeError) as error:
            complain(f"byte {offset}", f"a record was passed over: {error}")


def read_records(data: bytes, complain: Callable[[str, str], None]) -> Iterator[tuple[int, bytes]]:
    """(offset, record); what is damaged or torn is told by ``complain(place, reason)`` and passed over to the next."""
    if data[: len(MAGIC)] != MAGIC:
        complain("byte 0", "this is no file of Weights & Biases, or of a version that is not known")
        return
    offset, begun, parts = len(MAGIC), 0, []
    while offset + _HEADER.size <= len(data):
        left = _BLOCK - offset % _BLOCK
        if left < _HEADER.size:
            offset += left
            continue
        checksum, length, kind = _HEADER.unpack_from(data, offset)
        part = data[offset + _HEADER.size : offset + _HEADER.size + length]
        if len(part) < length:
            complain(f"byte {offset}", "the last record is cut off")
            return
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            complain(
                f"byte {offset}", f"damaged (a checksum differs): {min(left, len(data) - offset)} bytes passed over"
            )
            offset, parts = offset + left, []
            continue
        if kind in (_FULL, _FIRST):
            begun, parts = offset, []
        # The beginning of this record may have been lost in a damaged block.
        if parts or kind in (_FULL, _FIRST):
            parts.append(part)
        if kind in (_FULL, _LAST) and parts:
            yield begun, b"".join(parts)
            parts = []
        offset += _HEADER.size + length
    if parts or offset < len(data):
        complain(f"byte {begun if parts else offset}", "the last record is cut off")


def _take_run(found: dict[int, Any], log: _Log) -> None:
    log.run = found
    _take_config(grouped(message(found, 4)), log)


def _take_config(found: dict[int, Any], log: _Log) -> None:
    for item in found.get(1, []):
        path, value = _item(grouped(item))
        _set(log.config, path, value)
    for item in found.get(2, []):
        log.config.pop(_item(grouped(item))[0][0], None)


def _take_summary(found: dict[int, Any], log: _Log) -> None:
    for item in found.get(1, []):
        path, value = _item(grouped(item))
        _set(log.summary, path, value)


def _take_history(found: dict[int, Any], log: _Log) -> None:
    row: dict[str, Any] = {}
    for item in found.get(1, []):
        path, value = _item(grouped(item))
        _set(row, path, value)
    step = signed(grouped(message(found, 2)).get(1, [0])[-1]) if 2 in found else row.get("_step")
    t = row.get("_timestamp")
    values, others = numbers_in({key: value for key, value in row.items() if not key.startswith("_")})
    log.others |= others
    if values:
        log.measurements.append(Measurement(float(t or 0.0), None if step is None else int(step), values))


def _take_exit(found: dict[int, Any], log: _Log) -> None:
    if not found.get(3, [0])[-1]:
        log.exit_code = signed(found.get(1, [0])[-1])


def _take_header(found: dict[int, Any], log: _Log) -> None:
    log.version = text(grouped(message(found, 1)), 1)


_TAKE: dict[int, Callable[[dict[int, Any], _Log], None]] = {
    2: _take_history,
    3: _take_summary,
    5: _take_config,
    17: _take_run,
    18: _take_exit,
    21: _take_header,
}
"""By field of ``Record``."""


def _item(found: dict[int, Any]) -> tuple[list[str], Any]:
    """The path and the value of a ``ConfigItem``, ``SummaryItem`` or ``HistoryItem``."""
    nested = [part.decode(errors="replace") for part in found.get(2, [])]
    path = nested or [text(found, 1)]
    for number, convert in _VALUES.items():
        if number in found:
            return path, convert(found[number][-1])
    return path, None


_VALUES: dict[int, Callable[[Any], Any]] = {
    16: lambda data: json.loads(data or b"null"),
    8: lambda data: json.loads(data or b"null"),
    7: lambda data: data.decode(errors="replace"),
    6: real,
    5: zigzag,
    4: bool,
}
"""``value_json``; newer versions write history as ``json``, ``text``, ``number``, ``integer``, ``boolean``."""


def _set(target: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = target.get(key)
        if not isinstance(inner, dict):
            inner = target[key] = {}
        target = inner
    target[path[-1]] = value
