"""Run directories that were copied, renamed, moved, half deleted, or are none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from store.cautions import list_cautions
from store.database import lease
from store.ingest import has_news, ingest
from store.strays import find_strays
from store.workspace import Workspace
from tests.support.privileges import readonly_copy
from tests.support.synthetic import find_run_dir, synthetic_workspace

TABLES = ("runs", "evaluations", "token_losses", "metrics", "models", "fit_points", "warnings")


@pytest.fixture(params=["before", "after"], ids=["before it was ingested", "after"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    return synthetic_workspace(tmp_path / "workspace", ingested=request.param == "after")


def count(workspace: Workspace) -> dict[str, int]:
    ingest(workspace)
    with lease(workspace) as con:
        return {table: con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in TABLES}


def clean_count(tmp_path: Path) -> dict[str, int]:
    return count(synthetic_workspace(tmp_path / "untouched"))


def test_a_copied_run_counts_once(workspace: Workspace, tmp_path: Path) -> None:
    run = find_run_dir(workspace, "adapt-tests-r0-p15")
    copied = workspace.runs / "b"
    shutil.copytree(run.path, copied)
    before = sorted(str(path) for path in copied.rglob("*"))
    assert count(workspace) == clean_count(tmp_path)
    assert not has_news(workspace)
    assert "b" not in workspace.run_ids()
    (stray,) = find_strays(workspace)
    assert str(copied) in str(stray)
    assert f"a copy of the run {run.run_id}" in str(stray)
    assert sorted(str(path) for path in copied.rglob("*")) == before
    shutil.rmtree(copied)
    assert not find_strays(workspace)
    assert count(workspace) == clean_count(tmp_path / "again")


def test_a_renamed_run_and_its_name_again(workspace: Workspace, tmp_path: Path) -> None:
    run = find_run_dir(workspace, "adapt-tests-r0-p15")
    other = workspace.runs / "renamed"
    run.path.rename(other)
    count(workspace)
    (stray,) = find_strays(workspace)
    assert f"mv {other} {run.path}" in str(stray)
    other.rename(run.path)
    assert count(workspace) == clean_count(tmp_path)
    assert not find_strays(workspace)


def test_a_run_moved_away_and_back(workspace: Workspace, tmp_path: Path) -> None:
    run = find_run_dir(workspace, "adapt-tests-r0-p15")
    run.path.rename(tmp_path / "away")
    count(workspace)
    (tmp_path / "away").rename(run.path)
    assert count(workspace) == clean_count(tmp_path)


def test_an_alias_of_a_run_and_a_run_on_another_disk(workspace: Workspace, tmp_path: Path) -> None:
    run = find_run_dir(workspace, "adapt-tests-r0-p15")
    run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(tmp_path / "elsewhere")
    (workspace.runs / "alias").symlink_to(run.path)
    assert count(workspace) == clean_count(tmp_path)
    (stray,) = find_strays(workspace)
    assert stray.path.name == "alias"


def test_what_is_no_run_is_named_and_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    run = find_run_dir(workspace, "adapt-tests-r0-p15")
    (workspace.runs / "a-file").write_text("notes")
    (workspace.runs / "dead-link").symlink_to(tmp_path / "nowhere")
    (workspace.runs / "empty").mkdir()
    shutil.copytree(run.path, workspace.runs / "headless")
    (workspace.runs / "headless" / "spec.json").unlink()
    assert count(workspace) == clean_count(tmp_path)
    told = "\n".join(map(str, find_strays(workspace)))
    for words in ("a-file is a file", "dead-link is a link", "empty is empty", "headless has no spec.json"):
        assert words in told
    assert (workspace.runs / "headless" / "attempts").is_dir()


@pytest.mark.parametrize("lost", ["attempts", "control.jsonl"])
def test_a_half_deleted_run_stays_listed(workspace: Workspace, lost: str) -> None:
    run = find_run_dir(workspace, "adapt-tests-r0-p15")
    gone = run.path / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    ingest(workspace)
    with lease(workspace) as con:
        assert con.execute("SELECT state FROM runs WHERE run_id = ?", [run.run_id]).fetchall()
    assert run.run_id in workspace.run_ids()


def test_a_journal_that_is_a_folder_stops_no_other_run(tmp_path: Path) -> None:
    workspace = synthetic_workspace(tmp_path / "workspace", ingested=False)
    run = find_run_dir(workspace, "adapt-tests-r0-p15")
    run.control.unlink()
    run.control.mkdir()
    assert run.state().state == "held"
    assert str(run.control) in run.state().reason
    assert len(count(workspace)) == len(TABLES)
    assert str(run.control) in str(find_strays(workspace)[0])


def test_a_workspace_that_can_only_be_read(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        workspace = synthetic_workspace(folder)
        with open(workspace.notes, "a") as notes:
            notes.write('{"seq": 0, "t": 1.0, "event": "pin", "runs": [], "text": ""}\n')

    with readonly_copy(make) as folder:
        names = sorted(os.listdir(folder))
        workspace = Workspace.open(folder)
        assert has_news(workspace)
        ingest(workspace)
        with lease(workspace) as con:
            assert con.execute("SELECT count(*) FROM runs").fetchall()[0][0] > 20
        (caution,) = list_cautions(workspace)
        assert f"you cannot write {folder / 'odyssey.duckdb'}" in caution
        assert sorted(os.listdir(folder)) == names
