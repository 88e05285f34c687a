"""Runs out of a workspace: the directory under a name that nobody reads, the rows in one transaction, then the files.

A directory is first renamed to ``runs/.deleting.RUN`` (``runs/.emptying.RUN`` where results are kept). Whoever ingests
next finds such names and removes the rows before it reads anything, so that a kill in between leaves nothing half alive
and a run that is launched again starts from nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from store.bulk import transaction
from store.files import cannot_write, temporary_name
from store.upkeep.tables import list_tables
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

_DELETING, _EMPTYING = ".deleting.", ".emptying."
_SHARED_BY_RUNS = frozenset({"models", "evaluations", "token_losses", "fit_points"})
"""Tables whose ``run_id`` says where a row comes from, not whom it belongs to."""


def set_aside(workspace: Workspace, run_id: str, keep_results: bool) -> None:
    """Take the directory of a run out of everybody's sight; one that is gone already leaves a mark all the same."""
    hidden = workspace.runs / f"{_EMPTYING if keep_results else _DELETING}{run_id}"
    path = workspace.run(run_id).path
    mark = workspace.reopened / run_id
    try:
        # Ingest looks when there is a mark, and does nothing but look when the rename did not follow.
        mark.touch()
        if path.exists():
            os.rename(path, hidden)
        else:
            hidden.mkdir(exist_ok=True)
        # An ingest between the two has taken the mark and seen nothing.
        mark.touch()
    except OSError as error:
        raise cannot_write(path, error) from error


def half_deleted(workspace: Workspace) -> dict[str, bool]:
    """Runs whose directories were set aside and whose rows may still stand: run_id to whether results are kept."""
    found = {}
    for name in os.listdir(workspace.runs):
        for prefix, keep in ((_DELETING, False), (_EMPTYING, True)):
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = keep
    return found


def settle(con: duckdb.DuckDBPyConnection, workspace: Workspace) -> list[Path]:
    """Remove the rows of all runs that were set aside, in one transaction; returns the folders whose files may go.

    The caller holds the write lease. A folder gets its last name only after the commit: until then anyone repeats this.
    """
    waiting = half_deleted(workspace)
    if not waiting:
        return []
    with transaction(con):
        delete_rows(con, [run_id for run_id, keep in waiting.items() if not keep])
        _empty(con, [run_id for run_id, keep in waiting.items() if keep])
    trash = []
    for run_id, keep in waiting.items():
        hidden = workspace.runs / f"{_EMPTYING if keep else _DELETING}{run_id}"
        trash.append(workspace.runs / temporary_name(run_id))
        os.rename(hidden, trash[-1])
    return trash


def discard(folders: Sequence[Path]) -> None:
    """Delete folders that ``settle`` returned."""
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise cannot_write(folder, error) from error


def count_rows_of(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> dict[str, int]:
    """How many rows ``delete_rows`` would delete, by table."""
    counts = {}
    for table, where in _conditions(con).items():
        counts[table] = con.execute(f"SELECT count(*) FROM {table} WHERE {where}", {"runs": list(run_ids)}).fetchall()
    return {table: found[0][0] for table, found in counts.items() if found[0][0]}


def delete_rows(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> None:
    """Forget runs. Evaluations of models that other runs use stay; the caller holds a transaction."""
    if run_ids:
        for table, where in _conditions(con).items():
            con.execute(f"DELETE FROM {table} WHERE {where}", {"runs": list(run_ids)})


_OWN_MODELS = """
SELECT m.model_id FROM models m WHERE m.run_id IN (SELECT unnest($runs))
UNION ALL
-- Models from outside that only these runs scored.
SELECT m.model_id FROM models m JOIN evaluations e USING (model_id) WHERE m.run_id IS NULL GROUP BY m.model_id
HAVING bool_and(e.run_id IN (SELECT unnest($runs)))
    AND m.model_id NOT IN (SELECT parent FROM models WHERE parent IS NOT NULL AND run_id NOT IN (SELECT unnest($runs)))
"""
_OWN_EVALUATIONS = f"SELECT evaluation_id FROM evaluations WHERE model_id IN ({_OWN_MODELS})"
_OWN_DRIFTS = "SELECT drift_id FROM drifts WHERE run_id IN (SELECT unnest($runs))"
_OWN_FITS = "SELECT fit_id FROM fits WHERE run_id IN (SELECT unnest($runs))"


def _conditions(con: duckdb.DuckDBPyConnection) -> Mapping[str, str]:
    """What goes, by table, in an order in which no condition reads what an earlier one deleted."""
    tables = list_tables(con)
    of_parts = {
        **{table: f"evaluation_id IN ({_OWN_EVALUATIONS})" for table in ("token_losses", "type_losses")},
        "document_losses": f"evaluation_id IN ({_OWN_EVALUATIONS})",
        "type_drifts": f"drift_id IN ({_OWN_DRIFTS})",
        "fit_points": f"fit_id IN ({_OWN_FITS})",
        "fit_draws": f"fit_id IN ({_OWN_FITS})",
    }
    of_runs = {
        table: "run_id IN (SELECT unnest($runs))"
        for table, columns in tables.items()
        if "run_id" in columns and table not in _SHARED_BY_RUNS and table not in of_parts
    }
    shared = {
        "evaluations": f"model_id IN ({_OWN_MODELS})",
        "models": "run_id IN (SELECT unnest($runs))",
    }
    return {table: where for table, where in {**of_parts, **shared, **of_runs}.items() if table in tables}


def _empty(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> None:
    """Keep what runs measured, forget how far their files were read: a run launched again is read from its start."""
    if run_ids:
        con.execute(
            "UPDATE runs SET removed = ?, fold = NULL, closed = true WHERE run_id IN (SELECT unnest(?))",
            [time.time(), list(run_ids)],
        )
        for table in ("ingested_journals", "ingested_shards"):
            con.execute(f"DELETE FROM {table} WHERE run_id IN (SELECT unnest(?))", [list(run_ids)])
