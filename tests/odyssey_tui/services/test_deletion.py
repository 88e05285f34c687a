"""Guarded deletion: what is refused, what goes, and what a kill half-way leaves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from engine.launch.claims import take_claim
from odyssey_tui.services.deletion import delete_runs, plan_deletion, runs_of_experiment
from store.database import lease
from store.errors import OdysseyError
from store.ingest import ingest
from store.upkeep.check import run_checks
from store.upkeep.tables import count_rows, list_tables
from store.workspace import Workspace
from tests.support.dying import die_at
from tests.support.synthetic import find_run_dir, write_finished_runs


@pytest.fixture
def workspace(own_voyage: Workspace) -> Workspace:
    return own_voyage


def rows_of(workspace: Workspace) -> dict[str, int]:
    with lease(workspace) as con:
        return count_rows(con)


def rows_about(workspace: Workspace, run_id: str) -> dict[str, int]:
    with lease(workspace) as con:
        found = {
            table: con.execute(f"SELECT count(*) FROM {table} WHERE run_id = ?", [run_id]).fetchall()[0][0]
            for table, columns in list_tables(con).items()
            if "run_id" in columns and table != "fit_points"
        }
    return {table: rows for table, rows in found.items() if rows}


def problems(workspace: Workspace) -> list[str]:
    found = run_checks(workspace)
    return [finding.what for _, findings in found for finding in findings if finding.severity == "problem"]


def adapted(workspace: Workspace) -> str:
    return find_run_dir(workspace, "adapt-docs-r0.25-p45-xs").run_id


def test_a_run_goes_with_all_that_is_its_own(workspace: Workspace) -> None:
    run_id, before = adapted(workspace), rows_of(workspace)
    plan = plan_deletion(workspace, [run_id])
    assert plan.refusals == ()
    assert rows_of(workspace) == before
    delete_runs(workspace, plan)
    assert not workspace.run(run_id).path.exists()
    assert rows_about(workspace, run_id) == {}
    assert {table: before[table] - rows for table, rows in rows_of(workspace).items() if rows != before[table]} == dict(
        plan.rows
    )
    assert [path for path in workspace.runs.iterdir() if path.name.startswith(".")] == []
    assert problems(workspace) == []
    ingest(workspace)
    assert rows_about(workspace, run_id) == {}


def test_what_others_rest_on_is_refused_or_takes_them_along(workspace: Workspace) -> None:
    base = find_run_dir(workspace, "pretrain-xs").run_id
    plan = plan_deletion(workspace, [base])
    assert adapted(workspace) in plan.dependents[base]
    with pytest.raises(OdysseyError, match="is needed by"):
        delete_runs(workspace, plan)
    assert workspace.run(base).exists()
    plan = plan_deletion(workspace, [base], with_dependents=True)
    assert adapted(workspace) in [run.run_id for run in plan.runs]
    assert [refusal for refusal in plan.refusals if "is running" in refusal]


def test_live_claimed_and_retried_runs_are_refused(workspace: Workspace) -> None:
    running = find_run_dir(workspace, "adapt-docs-r0-p5-xs").run_id
    assert "odyssey cancel" in plan_deletion(workspace, [running]).refusals[0]
    run_id = adapted(workspace)
    plan = plan_deletion(workspace, [run_id])
    claim = take_claim(workspace, run_id)
    try:
        assert "executed by a command" in plan_deletion(workspace, [run_id]).refusals[0]
        with pytest.raises(OdysseyError, match="executed by a command"):
            delete_runs(workspace, plan)
    finally:
        claim.release()
    assert workspace.run(run_id).exists()


def test_a_waiting_run_without_a_scheduler_goes_with_its_ticket(workspace: Workspace) -> None:
    queued = find_run_dir(workspace, "adapt-tests-r0-p5-xs").run_id
    delete_runs(workspace, plan_deletion(workspace, [queued]))
    assert not (workspace.tickets / f"{queued}.json").exists()
    assert rows_about(workspace, queued) == {}


def test_results_can_stay(workspace: Workspace) -> None:
    run_id, before = adapted(workspace), rows_of(workspace)
    delete_runs(workspace, plan_deletion(workspace, [run_id], keep_results=True))
    after = rows_of(workspace)
    assert not workspace.run(run_id).path.exists()
    assert after["token_losses"] == before["token_losses"]
    assert after["metrics"] == before["metrics"]
    assert problems(workspace) == []


@pytest.mark.parametrize("keep_results", [False, True])
def test_a_run_launched_again_is_read_from_its_start(workspace: Workspace, tmp_path: Path, keep_results: bool) -> None:
    run_id, before = adapted(workspace), rows_of(workspace)
    shutil.copytree(workspace.run(run_id).path, tmp_path / "saved")
    delete_runs(workspace, plan_deletion(workspace, [run_id], keep_results=keep_results))
    shutil.copytree(tmp_path / "saved", workspace.run(run_id).path)
    ingest(workspace)
    after = rows_of(workspace)
    assert {table: after[table] for table in ("runs", "evaluations", "metrics", "mixtures")} == {
        table: before[table] for table in ("runs", "evaluations", "metrics", "mixtures")
    }
    # The copy was taken when its losses had been read: only where results were kept are they still there.
    assert [what for what in problems(workspace) if "stand more than once" in what] == []
    assert run_id in workspace.run_ids()
    with lease(workspace) as con:
        (state, removed) = con.execute("SELECT state, removed FROM runs WHERE run_id = ?", [run_id]).fetchall()[0]
    assert (state, removed) == ("done", None)


@pytest.mark.parametrize(
    "place",
    [
        "os:rename",
        "store.upkeep.deletion:delete_rows",
        "shutil:rmtree",
    ],
)
def test_after_a_kill_the_next_command_ends_it(workspace: Workspace, place: str) -> None:
    """At the first rename nothing has happened yet; later the run is gone for good."""
    run_id = adapted(workspace)
    body = (
        "from store.workspace import Workspace\nfrom odyssey_tui.services.deletion import plan_deletion, delete_runs\n"
        f"ws = Workspace.open({str(workspace.root)!r})\ndelete_runs(ws, plan_deletion(ws, [{run_id!r}]))"
    )
    assert die_at(place, body)
    ingest(workspace)
    if place == "os:rename":
        delete_runs(workspace, plan_deletion(workspace, [run_id]))
    assert not workspace.run(run_id).path.exists()
    assert rows_about(workspace, run_id) == {}
    assert problems(workspace) == []


def test_an_ingest_in_the_midst_of_a_deletion_leaves_the_rest_to_the_next(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, rename = adapted(workspace), os.rename

    def rename_late(old: Path, new: Path) -> None:
        if Path(new).name.startswith(".deleting."):
            ingest(workspace)
            assert not (workspace.reopened / run_id).exists()
        rename(old, new)

    plan = plan_deletion(workspace, [run_id])
    monkeypatch.setattr(os, "rename", rename_late)
    delete_runs(workspace, plan)
    assert rows_about(workspace, run_id) == {}


def test_an_experiment_by_name(workspace: Workspace) -> None:
    write_finished_runs(workspace, 3)
    runs = runs_of_experiment(workspace, "scale")
    assert len(runs) == 3
    delete_runs(workspace, plan_deletion(workspace, runs))
    with pytest.raises(OdysseyError, match="no run belongs"):
        runs_of_experiment(workspace, "scale")
