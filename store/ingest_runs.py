"""Journals into the tables of events, and what they add up to into the table of runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.bulk import insert_rows, merge_rows, update_rows
from store.errors import DataError
from store.event_rows import TARGETS, columns_of, metric_rows, ordered, text
from store.journal import MALFORMED, read_events
from store.run_state import RunFold
from store.survey import RunFiles, Source, look_at
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

    from store.ingest import IngestReport

_NEWEST = {
    "loss": "train_loss",
    "valid_loss": "valid_loss",
    **{name: name for name in ("tokens_per_s", "flops", "mfu", "memory_bytes")},
}
"""Metrics whose newest value stands in ``runs``, and the column it stands in."""
_FACTS = (*_NEWEST.values(), "step", "tokens", "versions", "git")


_FROM_STATE = (
    *("state", "attempt", "reason", "hint", "done", "total", "unit", "phase", "eta_s"),
    *("queued", "started", "ended", "heartbeat", "host", "pid", "device", "worker"),
)


@dataclass
class _Run:
    """A row of ``runs`` while events are folded into it."""

    fold: RunFold = field(default_factory=RunFold)
    facts: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(_FACTS))

    def row(self, run_id: str) -> dict[str, Any]:
        state = self.fold.state()
        row = {"run_id": run_id, **{name: getattr(state, name) for name in _FROM_STATE}, **self.facts}
        return _fitting(row) | {"fold": ordered(self.fold.to_dict())}


def bring_in(
    con: duckdb.DuckDBPyConnection, workspace: Workspace, batch: Sequence[RunFiles], report: IngestReport
) -> None:
    """Read what is new in the journals of ``batch`` into the database; the caller holds a transaction."""
    known = _known_runs(con, [files.run.run_id for files in batch])
    ledger = _ledger(con, [files.run.run_id for files in batch])
    rows = _Rows(report)
    changed: dict[str, _Run] = {}
    for files in batch:
        run_id = files.run.run_id
        if run_id not in known:
            if not files.run.exists():
                continue
            known[run_id] = _Run()
            rows.add("runs", _describe(files, workspace, rows))
            changed[run_id] = known[run_id]
        for source in files.journals:
            name = str(source.path.relative_to(workspace.root))
            try:
                if _read(con, source, name, ledger, known[run_id], rows):
                    changed[run_id] = known[run_id]
            except DataError as error:
                # It cannot be read now; whoever can will take it, and the other runs do not wait for that.
                report.warnings.append(error.message)
                report.unread.add(source.path)
    rows.store(con)
    update_rows(con, "runs", "run_id", [run.row(run_id) for run_id, run in changed.items()])
    report.runs += len(changed)


def close_finished(
    con: duckdb.DuckDBPyConnection, workspace: Workspace, waiting: Collection[str], unread: Collection[Path]
) -> dict[str, str]:
    """Mark runs that are finished and wholly ingested, so that nobody looks at them again; the states of all such runs.

    A run in the queue (``waiting``) stays open, and so does a lost one: its worker may only have been out of sight. So
    does one with a journal that could not be read (``unread``), or with anything that cannot be looked at.
    """
    finished = con.execute(
        "SELECT run_id FROM runs WHERE NOT closed AND state IN ('done', 'failed', 'cancelled')"
    ).fetchall()
    complete = [run_id for (run_id,) in finished if run_id not in waiting and _is_complete(workspace, run_id, unread)]
    con.execute("UPDATE runs SET closed = true WHERE run_id IN (SELECT unnest(?))", [complete])
    return dict(con.execute("SELECT run_id, state FROM runs WHERE closed AND removed IS NULL").fetchall())


def _is_complete(workspace: Workspace, run_id: str, unread: Collection[Path]) -> bool:
    # Looked at again: a shard may have come between the look at the spool and the end of the journal.
    files = look_at(workspace.run(run_id))
    return not files.shards and not files.hidden and all(source.path not in unread for source in files.journals)


class _Rows:
    """Rows gathered for their tables, and the warnings met on the way."""

    def __init__(self, report: IngestReport) -> None:
        self.report = report
        self.tables: dict[str, list[dict[str, Any]]] = {}

    def add(self, table: str, *rows: dict[str, Any]) -> None:
        self.tables.setdefault(table, []).extend(rows)

    def warn(self, file: str, message: str, place: Mapping[str, Any]) -> None:
        self.report.warnings.append(f"{file}: {message}")
        self.add("warnings", {**place, "file": file, "message": text(message)})

    def store(self, con: duckdb.DuckDBPyConnection) -> None:
        keys = {target.table: target.key for target in TARGETS.values() if target.key} | {
            "ingested_journals": ("file",)
        }
        for table, rows in self.tables.items():
            if table in keys:
                merge_rows(con, table, keys[table], rows)
            else:
                insert_rows(con, table, rows)


def _read(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    name: str,
    ledger: dict[str, tuple[int, int]],
    run: _Run,
    rows: _Rows,
) -> bool:
    """Fold the new events of one journal into ``run`` and ``rows``; whether there were any."""
    offset, last_seq = ledger.get(name, (0, -1))
    if source.size == offset:
        return False
    place = {"run_id": source.run_id, "attempt": source.attempt, "seq": -1, "t": 0.0}
    replaced = source.size < offset
    if replaced:
        rows.warn(name, "the journal is shorter than it was; what it adds to the known events is read", place)
        offset = 0
    events, end = read_events(source.path, offset)
    if end == offset and not replaced:
        return False
    if replaced:
        events = [event for event in events if event["seq"] > last_seq]
    once = without_repeats(events, _counted(con, source, events, last_seq))
    if len(once) < len(events):
        rows.warn(name, f"{len(events) - len(once)} lines stand there twice and count once", place)
    if not replaced and (gap := find_gap(once, last_seq)):
        rows.warn(name, f"lines are missing before event {gap}", place)
    events = once
    for event in events:
        _take(event, name, source, run, rows)
    run.fold = run.fold.events(source.attempt, events) if source.attempt else run.fold.control(events)
    seqs = [event["seq"] for event in events]
    rows.report.events += len(events)
    rows.add(
        "ingested_journals",
        {"file": name, "run_id": source.run_id, "byte_offset": end, "seq": max([last_seq, *seqs])},
    )
    return True


def without_repeats(events: Sequence[Mapping[str, Any]], counted: Collection[int]) -> list[dict[str, Any]]:
    """Events without those that stand there again, or have a number that is ``counted`` already."""
    seen: set[tuple[int, float, str]] = set()
    once = []
    for event in events:
        key = event["seq"], event["t"], event["event"]
        if event["event"] != MALFORMED and (key in seen or event["seq"] in counted):
            continue
        seen.add(key)
        once.append(dict(event))
    return once


def find_gap(events: Sequence[Mapping[str, Any]], last_seq: int) -> int | None:
    """The first number before which numbers are missing; a malformed line stands for one of them."""
    expected = last_seq + 1
    for event in events:
        if event["event"] == MALFORMED:
            expected += 1
        elif event["seq"] > expected:
            return event["seq"]
        else:
            expected = max(expected, event["seq"] + 1)
    return None


def _counted(
    con: duckdb.DuckDBPyConnection, source: Source, events: Sequence[Mapping[str, Any]], last_seq: int
) -> set[int]:
    """Numbers of events that the database has, where a journal that grew goes back behind the last one."""
    if not any(0 <= event["seq"] <= last_seq for event in events):
        return set()
    found = con.execute(
        "SELECT DISTINCT seq FROM metrics WHERE run_id = ? AND attempt = ?", [source.run_id, source.attempt]
    ).fetchall()
    return {seq for (seq,) in found}


def _take(event: dict[str, Any], name: str, source: Source, run: _Run, rows: _Rows) -> None:
    kind = event["event"]
    place = {"run_id": source.run_id, "attempt": source.attempt, "seq": event["seq"], "t": float(event["t"])}
    try:
        if kind in TARGETS:
            target = TARGETS[kind]
            row = target.row(event, place)
            missing = [part for part in target.key[:1] if row[part] is None]
            if missing:
                raise ValueError(f"field {missing[0]!r} is missing")
            rows.add(target.table, row)
        elif kind == "metric":
            measured = metric_rows(event, place)
            rows.add("metrics", *measured)
            run.facts |= {_NEWEST[row["name"]]: row["value"] for row in measured if row["name"] in _NEWEST}
            run.facts |= {key: measured[0][key] for key in ("step", "tokens") if measured}
        elif kind == "starting":
            run.facts |= {"versions": ordered(event.get("versions")), "git": text(event.get("git") or "")}
    except ValueError as error:
        rows.warn(name, f"event {event['seq']} ({kind}) passed over: {error}", place)
    if kind == "warning":
        rows.add("warnings", {**place, "file": name, "message": text(event.get("message") or "")})
    if kind == MALFORMED:
        rows.warn(name, f"malformed line at byte {event['offset']} passed over: {event['text']}", place)


def _describe(files: RunFiles, workspace: Workspace, rows: _Rows) -> dict[str, Any]:
    """The part of a row of ``runs`` that never changes: what the specification says."""
    run = files.run
    try:
        spec = run.spec()
        if not isinstance(spec, dict):
            raise DataError(f"{run.spec_path} is not a JSON object")
    except (DataError, OSError) as error:
        place = {"run_id": run.run_id, "attempt": 0, "seq": -1, "t": 0.0}
        rows.warn(str(run.spec_path.relative_to(workspace.root)), str(error), place)
        spec = {}
    labels = spec.get("labels") if isinstance(spec.get("labels"), dict) else {}
    job = spec.get("job") if isinstance(spec.get("job"), dict) else {}
    row = {
        "run_id": run.run_id,
        "name": spec.get("name", run.run_id),
        "experiment": spec.get("experiment"),
        "kind": job.get("kind"),
        **{name: labels.get(name) for name in ("domain", "size", "method", "replay_ratio", "ptpp")},
        "seed": spec.get("seed"),
        "needs": spec.get("needs"),
        "cost_flops": spec.get("cost_flops"),
    }
    return _fitting(row) | {"labels": ordered(labels), "spec": ordered(spec)}


_CONVERT = columns_of(
    text="name experiment kind domain size method state reason hint unit phase host device worker git",
    number="replay_ratio ptpp cost_flops done total eta_s queued started ended heartbeat train_loss tokens_per_s "
    "valid_loss flops mfu",
    whole="seed attempt pid step tokens memory_bytes",
    texts="needs",
)


def _fitting(row: dict[str, Any]) -> dict[str, Any]:
    """The row with values of the columns' types; one that cannot be converted is null, the specification keeps it."""
    fitted = {}
    for name, value in row.items():
        try:
            fitted[name] = value if value is None or name not in _CONVERT else _CONVERT[name](value)
        except (TypeError, ValueError, OverflowError):
            fitted[name] = None
    return fitted


def _known_runs(con: duckdb.DuckDBPyConnection, run_ids: list[str]) -> dict[str, _Run]:
    columns = list(_Run().facts)
    found = con.execute(
        f"SELECT run_id, fold, {', '.join(columns)} FROM runs WHERE run_id IN (SELECT unnest(?))", [run_ids]
    ).fetchall()
    return {
        run_id: _Run(RunFold.from_dict(json.loads(fold)) if fold else RunFold(), dict(zip(columns, facts, strict=True)))
        for run_id, fold, *facts in found
    }


def _ledger(con: duckdb.DuckDBPyConnection, run_ids: list[str]) -> dict[str, tuple[int, int]]:
    found = con.execute(
        "SELECT file, byte_offset, seq FROM ingested_journals WHERE run_id IN (SELECT unnest(?))", [run_ids]
    ).fetchall()
    return {file: (offset, seq) for file, offset, seq in found}
