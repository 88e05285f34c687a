"""Tables of points for the laws: CSV, Parquet or JSON lines, one measured model state a row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.importers.columns import EPOCHS, NUMBERS, choose_columns, fault_of, read_number, require_meaning
from engine.importers.recorded import Found, Recorded, Unread
from engine.spec.strict import content_key
from store.errors import DataError
from store.names import suggest

_BASE_OF = ("domain", "method", "size", "seed", "n_params", "ptpp", "replay_ratio", "tokens_seen", "eval_set", "run")
"""What points of one trajectory share, apart from their role and their D."""


def read(paths: Iterable[Path], mapped: Mapping[str, str], where: Mapping[str, str]) -> Found:
    """One run per table. ``mapped``: quantity → column; ``where``: keep rows whose columns have these values."""
    runs, unread = [], []
    for path in paths:
        runs.append(_read_table(path, mapped, where, unread))
    return Found(tuple(run for run in runs if run.points), tuple(unread))


def _read_table(path: Path, mapped: Mapping[str, str], where: Mapping[str, str], unread: list[Unread]) -> Recorded:
    names, lines = open_table(path)
    chosen = choose_columns(names, mapped, str(path))
    absent = [column for column in where if column not in names]
    if absent:
        raise DataError(f"{path}: there is no column {absent[0]!r}", f"Columns: {', '.join(names)}.")
    rows: list[tuple[str, dict[str, Any]]] = []
    for place, line in lines:
        if isinstance(line, str):
            unread.append(Unread(path, place, line))
        elif all(str(line.get(column)) == value for column, value in where.items()):
            row, fault = _convert(line, chosen)
            if fault:
                unread.append(Unread(path, place, fault))
            else:
                rows.append((place, row))
    require_meaning([row for _, row in rows], chosen, mapped, str(path))
    domain = f"{path.stem}.{mapped['loss']}" if "loss" in mapped else path.stem
    points: dict[str, dict[str, Any]] = {}
    for place, row in rows:
        if fault := fault_of(row):
            unread.append(Unread(path, place, fault))
            continue
        point = _complete(row, domain)
        key = content_key(point, 16)
        if key in points:
            unread.append(Unread(path, place, f"the same as {points[key]['place']}"))
        else:
            points[key] = {**point, "place": place}
    chosen_by = {**{f"map {k}": v for k, v in mapped.items()}, **{f"where {k}": v for k, v in where.items()}}
    return Recorded(
        tool="table",
        source=path,
        source_id="/".join([path.name, *(f"{key}={value}" for key, value in sorted(chosen_by.items()))]),
        name=domain,
        project=path.stem,
        config={"columns": chosen, **({"where": dict(where)} if where else {})},
        points=tuple(points.values()),
        started=path.stat().st_mtime,
        ended=path.stat().st_mtime,
    )


def _convert(line: Mapping[str, Any], chosen: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    row: dict[str, Any] = {}
    for quantity, column in chosen.items():
        value = line.get(column)
        if quantity not in NUMBERS:
            row[quantity] = str(value).strip() or None if value is not None else None
            continue
        try:
            row[quantity] = read_number(value)
        except (TypeError, ValueError):
            return row, f"{column} is {value!r}, which is no number"
    return row, ""


def _complete(row: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """The point that a row is: A from D or D from A, P from the tokens of pretraining or they from P."""
    n = row["n_params"]
    adapt, atpp = row.get("adapt_tokens"), row.get("atpp")
    seen, ptpp = row.get("tokens_seen"), row.get("ptpp")
    adapt = round(atpp * n if adapt is None and atpp is not None else adapt) if (adapt or atpp) else None
    seen = round(ptpp * n if seen is None and ptpp is not None else seen) if (seen or ptpp) else None
    point = {
        "domain": row.get("domain") or domain,
        "method": row.get("method") or "full",
        "size": row.get("size"),
        "seed": None if row.get("seed") is None else int(row["seed"]),
        "n_params": int(n),
        "ptpp": seen / n if ptpp is None and seen is not None else ptpp,
        "tokens_seen": seen,
        "atpp": adapt / n if atpp is None and adapt is not None else atpp,
        "adapt_tokens": adapt,
        "replay_ratio": row.get("replay_ratio"),
        **{name: row.get(name) for name in EPOCHS},
        "role": row.get("role") or "target",
        "eval_set": row.get("eval_set"),
        "loss": row["loss"],
        "zero_shot_loss": row.get("zero_shot_loss"),
        "run": row.get("run"),
    }
    shared = {name: point[name] for name in _BASE_OF if name != "eval_set"}
    return {**{name: value for name, value in point.items() if name != "run"}, "trajectory": content_key(shared, 8)}


Lines = Iterator[tuple[str, "dict[str, Any] | str"]]
"""(place, row), or in place of the row why it could not be read."""


def open_table(path: Path) -> tuple[list[str], Lines]:
    """The names of a table's columns, and its rows with their places. Raises DataError for what is no table."""
    try:
        names, lines = _FORMATS.get(path.suffix.lower(), _read_csv)(path)
    except FileNotFoundError as error:
        around = sorted(item.name for item in path.parent.glob("*.*")) if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file", suggest(path.name, around, "Check the path.")) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "Give the path of a table.") from error
    if not names:
        raise DataError(
            f"{path}: holds no columns",
            "A table begins with a line of their names, and JSON lines are objects; then a row for each measured loss.",
        )
    return names, lines


def _read_csv(path: Path) -> tuple[list[str], Lines]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}",
            f"A table is CSV text, JSON lines or Parquet, and its name ends so: {', '.join(SUFFIXES)}.",
        ) from error
    if content.lstrip()[:1] in ("{", "["):
        raise DataError(
            f"{path} holds JSON, not CSV",
            "Write one object a line and call it .jsonl: jq -c '.[]' FILE > points.jsonl",
        )
    head = content.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    reader = csv.reader(content.splitlines(keepends=True), delimiter=separator)
    names = [name.strip() for name in next(reader, [])]

    def lines() -> Lines:
        for values in reader:
            if not values:
                continue
            fits = len(values) == len(names)
            fault = f"{len(values)} values under {len(names)} columns"
            yield f"line {reader.line_num}", dict(zip(names, values, strict=True)) if fits else fault

    return names, lines()


def _read_jsonl(path: Path) -> tuple[list[str], Lines]:
    found: list[tuple[str, dict[str, Any] | str]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            value = f"not JSON: {error}"
        found.append((f"line {number}", value if isinstance(value, dict | str) else "not a JSON object"))
    names = list(dict.fromkeys(name for _, row in found if isinstance(row, dict) for name in row))
    return names, iter(found)


def _read_parquet(path: Path) -> tuple[list[str], Lines]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"cannot read {path}: {str(error).splitlines()[0]}", "Write it anew, or give the table as .csv or .jsonl."
        ) from error
    return table.column_names, ((f"row {index}", row) for index, row in enumerate(table.to_pylist(), 1))


_FORMATS = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
SUFFIXES = tuple(_FORMATS)
