"""Workspaces: made, opened, refused with one clear message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store.errors import DataError, WorkspaceError
from store.files import read_json, write_json
from store.run_dir import create_run
from store.workspace import Workspace
from tests.support.privileges import readonly_copy


def test_create_open_and_create_again(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "new" / "ws")
    identity = read_json(made.root / "workspace.json")["id"]
    assert Workspace.open(made.root) == made == Workspace.open_or_create(made.root) == Workspace.create(made.root)
    assert read_json(made.root / "workspace.json")["id"] == identity
    assert made.run_ids() == []


def test_a_folder_with_other_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    for attempt in (Workspace.create, Workspace.open_or_create):
        with pytest.raises(WorkspaceError, match=r"not an odyssey workspace.*thesis\.tex"):
            attempt(tmp_path)
    with pytest.raises(WorkspaceError, match=r"no workspace\.json"):
        Workspace.open(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace.create(tmp_path / "file")
    with pytest.raises(WorkspaceError):
        Workspace.open(tmp_path / "file" / "below")
    with pytest.raises(WorkspaceError, match=f": {tmp_path}/file is a file"):
        Workspace.create(tmp_path / "file" / "below")


@pytest.mark.parametrize("content", [b"", b'{"form', b"\xff\xfe\x00", b"[]", b'{"format": "one"}'])
def test_a_damaged_marker_says_how_to_go_on(tmp_path: Path, content: bytes) -> None:
    Workspace.create(tmp_path)
    (tmp_path / "workspace.json").write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"workspace\.json") as caught:
        Workspace.open(tmp_path)
    assert '{"format": 1}' in caught.value.hint
    (tmp_path / "workspace.json").write_text('{"format": 1}')
    assert Workspace.open(tmp_path).root == tmp_path


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Workspace.create(tmp_path)
    write_json(tmp_path / "workspace.json", {"format": 99})
    with pytest.raises(WorkspaceError, match="newer odyssey"):
        Workspace.open(tmp_path)


def test_a_start_interrupted_at_any_point_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / ".workspace.json.123.abcd.tmp").write_text("{")
    workspace = Workspace.open_or_create(tmp_path)
    workspace.runs.rmdir()
    workspace.tickets.rmdir()
    assert Workspace.open_or_create(tmp_path).tickets.is_dir()


def test_a_place_where_nothing_can_be_made_is_one_clear_error() -> None:
    with pytest.raises(WorkspaceError, match="cannot write"):
        Workspace.create("/proc/odyssey-workspace")


def test_a_read_only_workspace_opens_but_takes_no_runs() -> None:
    with readonly_copy(lambda path: Workspace.create(path)) as path:
        workspace = Workspace.open(path)
        with pytest.raises(WorkspaceError, match="cannot write"):
            workspace.require_writable()
        with pytest.raises(WorkspaceError, match="cannot write"):
            create_run(workspace, {"run_id": "a"})


def test_runs_appear_complete_and_once(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path)
    run = create_run(workspace, {"run_id": "a-1", "seed": 1})
    assert create_run(workspace, {"run_id": "a-1", "seed": 2}).spec() == {"run_id": "a-1", "seed": 1}
    assert workspace.run_ids() == ["a-1"]
    assert run.latest_attempt() is None
    assert [run.new_attempt().number, run.new_attempt().number] == [1, 2]
    assert run.latest_attempt().spool.is_dir()


@pytest.mark.parametrize("run_id", ["", "../up", "a/b", ".hidden", "a@b", "x" * 300, None])
def test_identifiers_that_cannot_name_a_directory_are_refused(tmp_path: Path, run_id: str | None) -> None:
    workspace = Workspace.create(tmp_path)
    with pytest.raises(DataError, match="cannot be a run's identifier"):
        create_run(workspace, {"run_id": run_id})
    assert workspace.run_ids() == []


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run 'ghost'"):
        Workspace.create(tmp_path).run("ghost").spec()


def test_writing_journals_imports_neither_duckdb_nor_arrow() -> None:
    code = (
        "import sys, store.workspace, store.run_dir, store.journal, store.shards, store.database, store.ingest\n"
        "print([name for name in ('duckdb', 'pyarrow', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
