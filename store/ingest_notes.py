"""The journal of tags, notes and pins into the table of notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.bulk import insert_rows, merge_rows, transaction
from store.event_rows import text
from store.journal import read_events
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

EVENTS = frozenset({"tag", "untag", "note", "pin", "unpin"})
"""Kinds of notes; each has ``runs`` (identifiers) and ``text`` (the tag or the note)."""


def commit(con: duckdb.DuckDBPyConnection, workspace: Workspace) -> int:
    """Read what is new in ``notes.jsonl`` in one transaction; returns the number of events."""
    name = workspace.notes.name
    known = con.execute("SELECT byte_offset FROM ingested_journals WHERE file = ?", [name]).fetchall()
    offset = known[0][0] if known else 0
    events, end = read_events(workspace.notes, offset)
    if end == offset:
        return 0
    rows = [
        {
            "seq": event["seq"],
            "t": float(event["t"]),
            "event": event["event"],
            "run_id": text(run_id),
            "text": text(event.get("text") or ""),
        }
        for event in events
        if event["event"] in EVENTS
        for run_id in event.get("runs") or ()
    ]
    with transaction(con):
        insert_rows(con, "notes", rows)
        ledger = {"file": name, "run_id": None, "byte_offset": end, "seq": max(event["seq"] for event in events)}
        merge_rows(con, "ingested_journals", ("file",), [ledger])
    return len(events)
