"""The database made anew: from run directories, and from what only a database holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from store import ingest, ingest_notes, ingest_runs, schema, strays, survey
from store.database import DamagedDatabase, hold_alone, open_file
from store.files import temporary_name
from store.ingest_shards import Taken
from store.upkeep.cached_texts import refill
from store.upkeep.losses import list_without_losses
from store.upkeep.salvage import Salvaged, Salvager, make_readable
from store.upkeep.swap import log_of, replace_database, staged_database
from store.upkeep.tables import OF_SHARDS, UNIQUE, list_tables
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb


@dataclass
class Rebuilt:
    """What a new database was made of."""

    runs: int = 0
    evaluations: int = 0
    report: ingest.IngestReport = field(default_factory=ingest.IngestReport)
    salvaged: list[Salvaged] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    """Databases of which nothing could be taken, and why."""
    without_losses: list[str] = field(default_factory=list)
    """Evaluations whose losses of single tokens are nowhere."""
    refilled: dict[str, int] = field(default_factory=dict)
    """Rows of evaluation texts that came out of the cache, by table."""
    doubled: dict[str, int] = field(default_factory=dict)
    """Rows that stood twice, by table; one of each stays."""
    replaced: Path | None = None
    """The old database under its new name."""

    @property
    def damaged(self) -> list[str]:
        """Tables that no journal can fill and no database gave whole."""
        failed = [{table for table in salvaged.damaged if table in OF_SHARDS} for salvaged in self.salvaged]
        return sorted(set.intersection(*failed)) if failed else []


def rebuild(workspace: Workspace, others: Sequence[Path] = (), wait_s: float = 60.0) -> Rebuilt:
    """Make the database anew beside the old one, then put it in place by a rename; the old one stays as a backup.

    Runs come from their directories; losses of single tokens and all else whose shards are gone from the old database,
    then, for what is still missing, from ``others`` in turn. Nothing is changed before the new one is complete.
    """
    made = Rebuilt()
    with hold_alone(workspace, wait_s), staged_database(workspace) as staged:
        with open_file(staged, write=True) as con:
            schema.migrate(con)
        present = [workspace.database_path] if survey.size_of(workspace.database_path) else []
        with contextlib.ExitStack() as scratch:
            sources = list(_readable([*present, *others], workspace, made, scratch, wait_s))
            for path in sources[:1]:
                _salvage(workspace, path, staged, made)
            taken, notes_size, seen = _ingest(workspace, staged, made)
            for number, path in enumerate(sources):
                with Salvager(path, staged, made.salvaged[0] if number == 0 else None) as salvager:
                    salvager.fill_gaps() if number else salvager.take_shared()
                    made.salvaged[number:] = [salvager.found]
        with open_file(staged, write=True) as con:
            made.refilled = refill(con, workspace)
            made.doubled = _drop_doubled(con)
            closed = ingest_runs.close_finished(con, workspace, survey.waiting_runs(workspace), made.report.unread)
            made.runs = con.execute("SELECT count(*) FROM runs").fetchall()[0][0]
            made.evaluations = con.execute("SELECT count(*) FROM evaluations").fetchall()[0][0]
            made.without_losses = list_without_losses(con)
            con.execute("CHECKPOINT")
        made.replaced = replace_database(workspace, staged)
        for batch in taken:
            ingest.finish(batch)
        unfinished = [files for files in seen if files.run.run_id not in closed]
        survey.remember(workspace, closed, unfinished, notes_size, made.report.unread)
    return made


def _readable(
    paths: Sequence[Path], workspace: Workspace, made: Rebuilt, scratch: contextlib.ExitStack, wait_s: float
) -> Iterator[Path]:
    for path in paths:
        copy = workspace.database_path.with_name(temporary_name(path.name))
        scratch.callback(copy.unlink, missing_ok=True)
        scratch.callback(log_of(copy).unlink, missing_ok=True)
        try:
            yield make_readable(path, copy, wait_s)
        except DamagedDatabase as error:
            # Another file was asked for by name: that it cannot be read must stop what was meant to use it.
            if path != workspace.database_path:
                hint = "Give a file that `odyssey store backup` made, or a database of odyssey."
                raise DamagedDatabase(error.message, hint) from error
            made.unreadable[path] = error.message


def _salvage(workspace: Workspace, source: Path, staged: Path, made: Rebuilt) -> None:
    with Salvager(source, staged) as salvager:
        salvager.take_what_only_it_holds()
        salvager.take_runs(salvager.incomplete_runs(workspace))
        made.salvaged.append(salvager.found)


def _ingest(workspace: Workspace, staged: Path, made: Rebuilt) -> tuple[list[Taken], int, list[survey.RunFiles]]:
    """Everything the files say; shards stay until the new database is in place."""
    taken: list[Taken] = []
    seen: list[survey.RunFiles] = []
    with open_file(staged, write=True) as con:
        notes_size = survey.size_of(workspace.notes)
        made.report.events += ingest_notes.commit(con, workspace)
        copies: dict[str, str] = {}
        for run_id in workspace.run_folders():
            files = survey.look_at(workspace.run(run_id))
            if ingest.without_copies(con, [files], copies):
                seen.append(files)
        for batch in ingest.batches(sorted(seen, key=ingest.lacks_texts)):
            taken.append(ingest.commit(con, workspace, batch, made.report))
    strays.remember_copies(workspace, copies)
    return taken, notes_size, seen


def _drop_doubled(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    dropped = {}
    tables = list_tables(con)
    for table, key in UNIQUE.items():
        if table not in tables:
            continue
        columns = ", ".join(key)
        twice = f"SELECT {columns} FROM {table} GROUP BY ALL HAVING count(*) > 1"
        if not con.execute(f"SELECT 1 FROM ({twice}) LIMIT 1").fetchall():
            continue
        dropped[table] = con.execute(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM (SELECT rowid, row_number() OVER "
            f"(PARTITION BY {columns} ORDER BY rowid DESC) AS place FROM {table} WHERE ({columns}) IN ({twice})) "
            "WHERE place > 1)"
        ).fetchall()[0][0]
    return dropped
