"""Two workspaces that should hold the same: every row and every weight compared, but for times and repetitions."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store.database import lease
from store.ingest import ingest
from store.journal import read_events
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

REPEATED = {"metrics": ("run_id", "attempt", "seq", "name"), "mixtures": ("run_id", "attempt", "seq")}
"""Tables in which a resumed attempt repeats what it computes again, and what names one of their rows."""
ASIDE = frozenset({"runs", "warnings", "notes", "ingested_journals", "ingested_shards", "schema_migrations"})
"""Tables that tell what happened, not what came out."""
PASSING = frozenset({"attempt", "seq", "t", "seconds"})
"""Columns that say when and at which attempt."""
MEASURED = ("tokens_per_s", "mfu", "memory_bytes")
"""Metrics of the machine."""


@dataclass
class Verdict:
    """What a disturbed workspace has in common with an undisturbed one. All but the first three should be empty."""

    token_losses: int = 0
    metrics: int = 0
    weights: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.differing)


def compare(reference: Workspace, disturbed: Workspace) -> Verdict:
    """Bring both databases up to date and compare everything in them, and the saved weights, bit for bit."""
    verdict = Verdict()
    for workspace in (reference, disturbed):
        ingest(workspace)
    expected, found = _read(reference), _read(disturbed)
    for table in sorted(expected.keys() | found.keys()):
        _compare_rows(table, expected.get(table, Counter()), found.get(table, Counter()), verdict)
    with lease(disturbed) as con:
        verdict.doubled += _doubled(con)
        verdict.token_losses = _count(con, "SELECT coalesce(sum(len(losses)), 0) FROM token_losses")
        verdict.metrics = _count(con, "SELECT count(DISTINCT (run_id, branch, step, name)) FROM metrics")
    _compare_weights(_weights(reference), _weights(disturbed), verdict)
    verdict.lost += [f"{path} was never ingested" for path in disturbed.runs.glob("*/attempts/*/spool/[!.]*")]
    verdict.lost += [f"{path} was set aside" for path in disturbed.runs.glob("*/attempts/*/quarantine/*")]
    return verdict


def count_resumed(workspace: Workspace) -> int:
    """Attempts that went on from a checkpoint."""
    journals = workspace.runs.glob("*/attempts/*/events.jsonl")
    return sum(event["event"] == "resumed" for journal in journals for event in read_events(journal)[0])


def _read(workspace: Workspace) -> dict[str, Counter[str]]:
    """Every table that holds results: its rows, without what passes, and how often each is there."""
    with lease(workspace) as con:
        named = con.execute(
            "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
            "WHERE NOT internal AND table_name IN (SELECT table_name FROM duckdb_tables()) GROUP BY ALL"
        ).fetchall()
        return {
            table: _rows(con, table, [name for name in columns if name not in PASSING])
            for table, columns in named
            if table not in ASIDE
        }


def _rows(con: duckdb.DuckDBPyConnection, table: str, columns: list[str]) -> Counter[str]:
    which = {
        "metrics": f"WHERE name NOT IN {MEASURED}",
        # When one is written to resume from depends on the clock.
        "checkpoints": "WHERE state <> 'resume'",
    }.get(table, "")
    distinct = "DISTINCT" if table in REPEATED or table == "checkpoints" else ""
    # A float as JSON has as many digits as tell it from its neighbours: equal texts are equal bits.
    rows = con.execute(f"SELECT {distinct} {', '.join(columns)} FROM {table} {which}").fetchall()
    return Counter(json.dumps(row, default=str) for row in rows)


def _compare_rows(table: str, expected: Counter[str], found: Counter[str], verdict: Verdict) -> None:
    missing, more = expected - found, found - expected
    again = Counter({row: count for row, count in more.items() if row in expected})
    # A row that is missing and one that nobody expected are one row with another value.
    strange = [row for row in more if row not in expected]
    verdict.doubled += [f"{table}: {row[:300]}" for row in again]
    verdict.differing += [f"{table}: {row[:300]}" for row in strange]
    verdict.lost += [f"{table}: {row[:300]}" for row in list(missing)[: max(0, len(missing) - len(strange))]]


def _doubled(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Rows of repeated tables and of the ledgers that one line of a journal, or one file, made twice."""
    keys = {**REPEATED, "ingested_shards": ("shard",), "ingested_journals": ("file",), "runs": ("run_id",)}
    found = []
    for table, key in keys.items():
        columns = ", ".join(key)
        twice: list[tuple[Any, ...]] = con.execute(
            f"SELECT {columns} FROM {table} GROUP BY ALL HAVING count(*) > 1"
        ).fetchall()
        found += [f"{table}: {row}" for row in twice]
    return found


def _count(con: duckdb.DuckDBPyConnection, question: str) -> int:
    return con.execute(question).fetchall()[0][0]


def _weights(workspace: Workspace) -> dict[str, str]:
    files = workspace.runs.glob("*/checkpoints/*/*.safetensors")
    return {str(path.relative_to(workspace.runs)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _compare_weights(expected: dict[str, str], found: dict[str, str], verdict: Verdict) -> None:
    verdict.weights = len(found)
    verdict.lost += [f"{name} is missing" for name in expected.keys() - found.keys()]
    verdict.differing += [name for name in expected.keys() & found.keys() if expected[name] != found[name]]
