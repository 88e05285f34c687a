"""Runs as lists show them: kept beside the database, and used only while they are true."""

from __future__ import annotations

import math
import os
from pathlib import Path

import duckdb
import pytest

from store import listing, notes
from store.database import lease
from store.errors import WorkspaceError
from store.ingest import ingest
from store.listing import RunListing, version_of
from store.queries.runs import list_columns
from store.queries.seeds import find_seed_keys
from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace, write_finished_runs

FIRST, SECOND = "scale-000000", "scale-000001"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "ws")
    write_finished_runs(workspace, 2)
    return workspace


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the database from now on fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the database was opened")

    monkeypatch.setattr(listing, "lease", refuse)


def kept_file(workspace: Workspace) -> Path:
    return workspace.database_path.with_name("odyssey.duckdb.listed")


def test_what_one_reader_found_the_next_reads_without_the_database(
    synthetic: Workspace, request: pytest.FixtureRequest
) -> None:
    found = RunListing(synthetic).read()
    with lease(synthetic) as con:
        asked = list_columns(con)
    assert {key: column for key, column in found.items() if key in asked and key != "tokenizer_id"} == {
        key: column for key, column in asked.items() if key != "tokenizer_id"
    }
    request.getfixturevalue("unasked")
    assert RunListing(synthetic).read() == found


def test_runs_that_differ_in_their_seed_alone_have_one_key(tmp_path: Path) -> None:
    workspace = synthetic_workspace(tmp_path / "ws")
    without = RunListing(workspace).read(seeds=False)
    assert set(without["seed_key"]) == {None}
    found = RunListing(workspace).read()
    keys = dict(zip(found["name"], found["seed_key"], strict=True))
    assert None not in keys.values()
    assert keys["adapt-docs-r0-p5-s"] != keys["adapt-docs-r0.25-p15-s"]
    assert RunListing(workspace).read(seeds=False) == found


def test_every_change_of_the_database_is_seen(workspace: Workspace) -> None:
    reader = RunListing(workspace)
    assert reader.read()["tags"] == [[], []]
    before = version_of(workspace.database_path)
    notes.tag(workspace, [FIRST], "paper")
    for one in (reader, RunListing(workspace)):
        assert one.read()["tags"] == [["paper"], []]
    assert version_of(workspace.database_path) != before
    with duckdb.connect(str(workspace.database_path)) as con:  # another program, and journals say nothing of it
        con.execute("UPDATE runs SET reason = 'edited'")
    assert reader.read()["reason"] == ["edited", "edited"]
    assert RunListing(workspace).read()["reason"] == ["edited", "edited"]


def test_the_headers_alone_tell_that_the_database_has_changed(workspace: Workspace) -> None:
    ingest(workspace)
    path = workspace.database_path
    inode, *_, first, second = version_of(path)
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE runs SET reason = 'edited'")
    assert version_of(path)[0] == inode
    assert version_of(path)[-2:] != [first, second]


def test_what_stands_in_a_log_beside_the_database_makes_it_unknown(workspace: Workspace) -> None:
    ingest(workspace)
    log = workspace.database_path.with_name("odyssey.duckdb.wal")
    log.write_bytes(b"x")
    assert version_of(workspace.database_path) is None
    log.unlink()
    assert version_of(workspace.database_path) is not None
    assert version_of(workspace.root / "nothing") is None


@pytest.mark.parametrize("damage", ["cut", "letter", "empty", "other question"])
def test_a_damaged_file_is_of_no_use_and_is_written_again(
    workspace: Workspace, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = RunListing(workspace).read()
    path = kept_file(workspace)
    whole = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "letter":
            path.write_bytes(whole.replace(b"done", b"dome"))
        case "empty":
            path.write_bytes(b"")
        case "other question":
            with monkeypatch.context() as patch:
                patch.setattr(listing, "SUMMARY_QUERY", "SELECT something else")
                RunListing(workspace).read()
            assert path.read_bytes() != whole
    assert RunListing(workspace).read() == found
    assert path.read_bytes() == whole


def test_numbers_that_json_lacks_are_kept(workspace: Workspace, request: pytest.FixtureRequest) -> None:
    ingest(workspace)
    with duckdb.connect(str(workspace.database_path)) as con:
        con.execute("UPDATE runs SET train_loss = CASE run_id WHEN ? THEN 'inf' ELSE 'nan' END", [FIRST])
    RunListing(workspace).read()
    request.getfixturevalue("unasked")
    first, second = RunListing(workspace).read()["train_loss"]
    assert first == math.inf
    assert math.isnan(second)


def test_where_nothing_can_be_kept_the_database_answers(workspace: Workspace) -> None:
    kept_file(workspace).mkdir()
    assert RunListing(workspace).read()["run_id"] == [FIRST, SECOND]
    assert not list(workspace.root.glob(".*.tmp"))


def test_a_state_that_is_known_is_not_read_again(workspace: Workspace, request: pytest.FixtureRequest) -> None:
    reader = RunListing(workspace)
    found = reader.read_news(None)
    assert found.columns["run_id"] == [FIRST, SECOND]
    notes.pin(workspace, [SECOND])
    newer = reader.read_news(found.state)
    assert newer.columns["pinned"] == [False, True]
    request.getfixturevalue("unasked")
    assert reader.read_news(newer.state) == (newer.state, {})


def test_one_reader_does_not_keep_every_state(workspace: Workspace) -> None:
    reader = RunListing(workspace)
    reader.read()
    before = kept_file(workspace).read_bytes()
    notes.pin(workspace, [SECOND])
    assert reader.read()["pinned"] == [False, True]
    assert kept_file(workspace).read_bytes() == before


@pytest.mark.parametrize("kind", ["adapt", "pretrain"])
def test_a_specification_that_cannot_be_read_yet_is_looked_at_again(tmp_path: Path, kind: str) -> None:
    workspace = synthetic_workspace(tmp_path / "ws")
    with duckdb.connect(str(workspace.database_path)) as con:
        specs = con.execute("SELECT run_id, spec::VARCHAR FROM runs WHERE kind = ?", [kind]).fetchall()
        right = find_seed_keys(con, [run_id for (run_id,) in con.execute("SELECT run_id FROM runs").fetchall()])
        con.execute("UPDATE runs SET spec = NULL WHERE kind = ?", [kind])
    before = RunListing(workspace).read()["seed_key"]
    assert 0 < len(set(before) & set(right.values())) < len(before)
    with duckdb.connect(str(workspace.database_path)) as con:
        con.executemany("UPDATE runs SET spec = $2 WHERE run_id = $1", specs)
    found = RunListing(workspace).read()
    assert dict(zip(found["run_id"], found["seed_key"], strict=True)) == right


def test_a_log_that_goes_into_the_file_meanwhile_is_no_old_state(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = RunListing(workspace).read_news(None).state
    with duckdb.connect(str(workspace.database_path)) as con:
        con.execute("UPDATE runs SET reason = 'edited'")
        exists = os.path.exists

        def end_writing(path: str) -> bool:
            con.close()
            return exists(path)

        monkeypatch.setattr(os.path, "exists", end_writing)
        assert version_of(workspace.database_path) != before


def test_the_key_of_a_run_that_was_deleted_is_forgotten(workspace: Workspace) -> None:
    reader = RunListing(workspace)
    before = reader.read()["seed_key"]
    with duckdb.connect(str(workspace.database_path)) as con:
        con.execute("CREATE TABLE away AS SELECT * FROM runs WHERE run_id = ?", [FIRST])
        con.execute("DELETE FROM runs WHERE run_id = ?", [FIRST])
    assert reader.read()["run_id"] == [SECOND]
    with duckdb.connect(str(workspace.database_path)) as con:
        con.execute("""UPDATE away SET labels = '{"lr": 0.1}'""")
        con.execute("INSERT INTO runs SELECT * FROM away")
    first, second = reader.read()["seed_key"]
    assert first != before[0]
    assert second == before[1]


def test_what_was_found_last_in_another_workspace_is_not_recalled(tmp_path: Path) -> None:
    workspaces = [Workspace.create(tmp_path / name).root for name in ("a", "b")]
    for root in workspaces:
        (root / "settings.toml").write_text(f'database = "{tmp_path / "shared.duckdb"}"\n')
    own, other = map(Workspace.open, workspaces)
    write_finished_runs(own, 2)
    RunListing(own).read()
    assert RunListing(own).recall().columns["run_id"] == [FIRST, SECOND]
    with pytest.raises(WorkspaceError, match="belongs to the workspace"):
        RunListing(other).recall()
