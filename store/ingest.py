"""From journals and shards into the database: everything once, in transactions, and shards deleted only afterwards."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from store import ingest_notes, ingest_runs, ingest_shards, strays, survey
from store.bulk import transaction
from store.database import lease
from store.errors import WorkspaceError
from store.event_rows import APPENDED
from store.space import is_full
from store.survey import RunFiles, Shard, has_news, look_at
from store.upkeep import deletion
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

__all__ = ["IngestReport", "has_news", "ingest"]

_BATCH_BYTES = 64_000_000
"""About how much one transaction holds: an interrupted ingest of a backlog keeps what it had committed."""


@dataclass
class IngestReport:
    """What one ingest brought in. ``warnings`` name the file and what was wrong with it."""

    runs: int = 0
    events: int = 0
    shards: int = 0
    rows: int = 0
    quarantined: int = 0
    warnings: list[str] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)
    """Journals that could not be read now. Their runs stay open, and somebody who can read them will."""
    seconds: float = 0.0


def ingest(workspace: Workspace, wait_s: float = 10.0) -> IngestReport:
    """Bring the database up to date with the files; ``wait_s`` as for ``lease``.

    Without news this returns at once and takes no lease. A damaged shard is moved to the attempt's ``quarantine``, a
    malformed line of a journal is passed over; both are recorded as warnings and hold nothing else up. Where there is
    a database that this process may only read, nothing happens either (``store.cautions`` says so).
    """
    started = time.monotonic()
    report = IngestReport()
    if not has_news(workspace) or not can_ingest(workspace):
        return report
    with lease(workspace, write=True, wait_s=wait_s) as con:
        trash = deletion.settle(con, workspace)
        reopen(con, workspace)
        notes_size = survey.size_of(workspace.notes)
        report.events += ingest_notes.commit(con, workspace)
        copies: dict[str, str] = {}
        found = [look_at(workspace.run(run_id)) for run_id in unfinished(con, workspace)]
        for batch in batches(sorted(found, key=lacks_texts)):
            originals = without_copies(con, batch, copies)
            finish(commit(con, workspace, originals, report))
        strays.remember_copies(workspace, copies)
        closed = ingest_runs.close_finished(con, workspace, survey.waiting_runs(workspace), report.unread)
        open_ones = [files for files in found if files.run.run_id not in closed and files.run.run_id not in copies]
        _remember(workspace, closed, open_ones, notes_size, report)
    deletion.discard(trash)
    report.seconds = time.monotonic() - started
    return report


def _remember(
    workspace: Workspace, closed: dict[str, str], unfinished: list[RunFiles], notes_size: int, report: IngestReport
) -> None:
    try:
        survey.remember(workspace, closed, unfinished, notes_size, report.unread)
    except WorkspaceError as error:
        # Everything is in the database; without the memory the next ingest looks at all of it once more.
        if not is_full(error):
            raise


def can_ingest(workspace: Workspace) -> bool:
    """Whether this process may write what an ingest has to; a database that is yet to be made is tried in any case."""
    path = workspace.database_path
    if not path.exists():
        return True
    return all(os.access(place, os.W_OK, effective_ids=True) for place in (path, path.parent, workspace.root))


def reopen(con: duckdb.DuckDBPyConnection, workspace: Workspace) -> None:
    """Take retried runs out of the finished ones, and those whose directories are back.

    The marks go only once the database has their message.
    """
    marked = survey.reopened_runs(workspace)
    names = sorted({*marked, *survey.waiting_runs(workspace)})
    con.execute("UPDATE runs SET closed = false WHERE closed AND run_id IN (SELECT unnest(?))", [names])
    gone = [run_id for (run_id,) in con.execute("SELECT run_id FROM runs WHERE removed IS NOT NULL").fetchall()]
    back = [run_id for run_id in gone if workspace.run(run_id).exists()]
    with transaction(con):
        # Their journals are read from the start: what they said before would stand twice.
        for table in APPENDED if back else ():
            con.execute(f"DELETE FROM {table} WHERE run_id IN (SELECT unnest(?))", [back])
        con.execute("UPDATE runs SET removed = NULL, closed = false WHERE run_id IN (SELECT unnest(?))", [back])
    for name in marked:
        (workspace.reopened / name).unlink(missing_ok=True)


def unfinished(con: duckdb.DuckDBPyConnection, workspace: Workspace) -> list[str]:
    """Runs with a directory that are not known to be finished and complete."""
    closed = {run_id for (run_id,) in con.execute("SELECT run_id FROM runs WHERE closed").fetchall()}
    return [run_id for run_id in workspace.run_folders() if run_id not in closed]


def without_copies(con: duckdb.DuckDBPyConnection, batch: Sequence[RunFiles], copies: dict[str, str]) -> list[RunFiles]:
    """The runs of ``batch`` but for folders that hold another run's specification, which are noted in ``copies``.

    What they hold would be counted twice. A run that the database knows has been looked at before.
    """
    run_ids = [files.run.run_id for files in batch]
    found = con.execute("SELECT run_id FROM runs WHERE run_id IN (SELECT unnest(?))", [run_ids]).fetchall()
    known = {run_id for (run_id,) in found}
    originals = []
    for files in batch:
        named = None if files.run.run_id in known else strays.run_id_of(files.run)
        if named is None or named == files.run.run_id:
            originals.append(files)
        else:
            copies[files.run.run_id] = named
    return originals


def lacks_texts(files: RunFiles) -> bool:
    """Runs that bring evaluation sets come first: losses are summed by their tokens."""
    return not any(shard.kind == "eval_set" for shard in files.shards)


def batches(found: Iterable[RunFiles]) -> Iterator[list[RunFiles]]:
    """Runs in groups of about ``_BATCH_BYTES`` of files; one with more to bring in is in several."""
    batch: list[RunFiles] = []
    size = 0
    for files in chain.from_iterable(map(portions, found)):
        batch.append(files)
        size += files.size
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def portions(files: RunFiles) -> Iterator[RunFiles]:
    """A run as it is, or in portions of its shards: the first has its journals, too."""
    part: list[Shard] = []
    size = 0
    journals = files.journals
    for shard in files.shards:
        part.append(shard)
        size += shard.size
        if size >= _BATCH_BYTES:
            yield RunFiles(files.run, journals, tuple(part))
            part, size, journals = [], 0, ()
    if part or not files.shards:
        yield RunFiles(files.run, journals, tuple(part))


def commit(
    con: duckdb.DuckDBPyConnection, workspace: Workspace, batch: Sequence[RunFiles], report: IngestReport
) -> ingest_shards.Taken:
    """Bring the journals and shards of some runs in, all or nothing; returns the shards whose files may go."""
    with transaction(con):
        ingest_runs.bring_in(con, workspace, batch, report)
        return ingest_shards.bring_in(con, workspace, [shard for files in batch for shard in files.shards], report)


def finish(taken: ingest_shards.Taken) -> None:
    """Delete ingested shards and set damaged ones aside; after the commit, so that a kill in between loses nothing."""
    for shard in taken.ingested:
        shard.path.unlink(missing_ok=True)
    for shard in taken.damaged:
        shard.attempt.quarantine.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(shard.path, shard.attempt.quarantine / shard.path.name)
