"""Trackio: the SQLite file of a project, ``PROJECT.db``; metrics and configurations are read.

Schemas differ: runs are told apart by ``run_id`` in newer files (0.43), by ``run_name`` in older ones (0.5). A
database that is being written to is copied first, so that nothing in its folder is touched.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.importers.numbers import numbers_in
from engine.importers.recorded import Found, Measurement, Recorded, Unread

PATTERN = "*.db"
MAGIC = b"SQLite format 3\0"
NOT_A_TRACKER = "a SQLite file, but not Trackio's: it has no table `metrics` of runs"


def read(paths: Iterable[Path]) -> Found:
    """The runs of ``paths``: database files, or folders that hold some."""
    files = sorted({file for path in paths for file in (_databases(path) if path.is_dir() else [path])})
    runs, unread = [], []
    for file in files:
        try:
            with _open(file) as con:
                runs.extend(_read_runs(con, file, unread))
        except (sqlite3.Error, OSError) as error:
            unread.append(Unread(file, "", f"cannot be read: {error}"))
    return Found(tuple(runs), tuple(unread))


def _databases(folder: Path) -> Iterator[Path]:
    """Other programs' files are called ``.db`` too."""
    for file in folder.rglob(PATTERN):
        with open(file, "rb") as opened:
            if opened.read(len(MAGIC)) == MAGIC:
                yield file


@contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    log = file.with_name(f"{file.name}-wal")
    if not log.exists() or not log.stat().st_size:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as con:
            yield con
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        shutil.copy(file, copy)
        shutil.copy(log, copy.with_name(log.name))
        with closing(sqlite3.connect(copy)) as con:
            yield con


def _read_runs(con: sqlite3.Connection, file: Path, unread: list[Unread]) -> Iterator[Recorded]:
    known = {name: _columns(con, name) for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if not {"run_name", "step", "metrics", "timestamp"} <= known.get("metrics", set()):
        unread.append(Unread(file, "", NOT_A_TRACKER))
        return
    key = "run_id" if "run_id" in known["metrics"] else "run_name"
    configs = {}
    if {key, "config"} <= known.get("configs", set()):
        configs = {run: _json(config) for run, config in con.execute(f"SELECT {key}, config FROM configs ORDER BY id")}
    runs = con.execute(f"SELECT {key}, max(run_name), min(id) FROM metrics GROUP BY {key} ORDER BY min(id)").fetchall()
    for run, name, _ in runs:
        rows = con.execute(f"SELECT id, timestamp, step, metrics FROM metrics WHERE {key} = ? ORDER BY id", [run])
        config = configs.get(run)
        measurements, times = _measurements(rows, file, name, unread)
        yield Recorded(
            tool="trackio",
            source=file,
            source_id=f"{file.stem}/{run}",
            name=str(name),
            project=file.stem,
            config={k: v for k, v in config.items() if not k.startswith("_")} if isinstance(config, dict) else {},
            measurements=tuple(measurements),
            started=min(times, default=None),
            ended=max(times, default=None),
        )


def _measurements(
    rows: Iterable[tuple[Any, ...]], file: Path, run: str, unread: list[Unread]
) -> tuple[list[Measurement], list[float]]:
    measurements, times, others = [], [], set()
    for row, written, step, content in rows:
        try:
            t = _seconds(written)
            values, left = numbers_in(_json(content))
        except (ValueError, TypeError, AttributeError) as error:
            unread.append(Unread(file, f"metrics row {row}", f"no measurement: {error}"))
            continue
        times.append(t)
        others |= left
        if values:
            measurements.append(Measurement(t, step, values))
    if others:
        unread.append(Unread(file, f"run {run}", f"values that are no numbers: {', '.join(sorted(others))}"))
    return measurements, times


def _columns(con: sqlite3.Connection, table: str) -> set[str]:
    return {name for (name,) in con.execute("SELECT name FROM pragma_table_info(?)", [table])}


def _json(content: str | bytes | None) -> Any:
    return json.loads(content) if content else None


def _seconds(written: str) -> float:
    when = datetime.fromisoformat(written)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
