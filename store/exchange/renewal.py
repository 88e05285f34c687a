"""A run whose journals are replaced: the database forgets it first, so that what it read never mixes with the new."""

from __future__ import annotations

from collections.abc import Mapping

from store.bulk import transaction
from store.database import lease
from store.files import write_atomic
from store.workspace import Workspace

_OURS = ("notes",)
"""Tables that do not come from the run's own files."""


def renew_run(workspace: Workspace, run_id: str, files: Mapping[str, str], wait_s: float = 10.0) -> None:
    """Replace files of a finished run (paths within its directory → content); the next ingest reads them from 0.

    Killed at any point, it leaves a run that an ingest reads as its files then are.
    """
    with lease(workspace, write=True, wait_s=wait_s) as con:
        # Whoever looks for news must look into this directory again; ingest takes the mark away only with a lease.
        workspace.reopened.mkdir(parents=True, exist_ok=True)
        (workspace.reopened / run_id).touch()
        tables = con.execute(
            "SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name) "
            "WHERE column_name = 'run_id' AND table_name NOT IN (SELECT unnest(?))",
            [list(_OURS)],
        ).fetchall()
        with transaction(con):
            for (table,) in tables:
                con.execute(f'DELETE FROM "{table}" WHERE run_id = ?', [run_id])
        for name, content in files.items():
            write_atomic(workspace.run(run_id).path / name, content)
