"""``odyssey store …`` and ``odyssey delete`` as scripts and people use them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from odyssey_tui.cli.main import run
from store.errors import WorkspaceError
from store.upkeep.rebuild import rebuild
from store.upkeep.swap import compact
from store.workspace import Workspace
from tests.support.privileges import readonly_copy
from tests.support.synthetic import find_run_dir

HOLD = "import sys, duckdb; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def root(own_voyage: Workspace) -> Path:
    return own_voyage.root


def odyssey(*arguments: str | Path) -> int:
    return run([str(argument) for argument in arguments])


def test_check_is_0_when_all_is_well_and_1_when_not(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert odyssey("store", "check", "--deep", "-w", root) == 0
    out = capsys.readouterr().out
    assert "✓ ok" in out
    assert max(map(len, out.splitlines())) <= 80
    shutil.rmtree(find_run_dir(Workspace.open(root), "adapt-docs-r0.25-p45-xs").path)
    assert odyssey("--workspace", root, "store", "check", "--json") == 1
    bad = [row for row in json.loads(capsys.readouterr().out) if row["severity"] != "ok"]
    assert [row["check"] for row in bad] == ["runs have directories"]
    assert "odyssey delete adapt-docs-r0.25-p45-xs" in bad[0]["hint"]


def test_a_database_deleted_by_hand_is_not_passed_over(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert odyssey("store", "backup", root.parent / "saved.tar.zst", "-w", root) == 0
    (root / "odyssey.duckdb").unlink()
    capsys.readouterr()
    assert odyssey("runs", "-w", root) == 0
    assert "no losses of single tokens" in " ".join(capsys.readouterr().err.split())
    assert odyssey("store", "rebuild", "--yes", "-w", root) == 1
    assert odyssey("store", "rebuild", "--yes", "--from", root.parent / "saved.tar.zst", "-w", root) == 0
    capsys.readouterr()
    assert odyssey("store", "check", "-w", root) == 0
    assert odyssey("runs", "-w", root) == 0
    assert "single tokens" not in capsys.readouterr().err


def test_backup_refuses_to_replace_and_restore_asks(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = root.parent / "saved.tar.zst"
    assert odyssey("store", "backup", saved, "-w", root) == 0
    assert capsys.readouterr().out.strip() == str(saved)
    assert odyssey("store", "backup", saved, "-w", root) == 2
    assert odyssey("store", "backup", saved, "--force", "-w", root) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert odyssey("store", "restore", saved, "-w", root) == 3
    assert "is being executed" in capsys.readouterr().err
    new = root.parent / "new"
    assert odyssey("store", "restore", saved, "-w", new) == 130
    assert not (new / "odyssey.duckdb").exists()
    assert odyssey("store", "restore", saved, "--yes", "-w", new) == 0
    assert odyssey("store", "check", "-w", new) == 0


def test_gc_lists_first_and_deletes_with_yes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = root / "odyssey.duckdb.v1.backup"
    old.write_bytes(b"x" * 1000)
    stale = root / "cache" / "corpora" / "unread"
    stale.mkdir(parents=True)
    for path in (old, stale):
        os.utime(path, (0, 0))
    database = root / "odyssey.duckdb"
    assert odyssey("store", "gc", "--quota", "0", "--json", "-w", root) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {file["kind"] for file in plan["files"]} == {"backup", "cache"}
    assert {row["kept"] for row in plan["evaluations"]} == {"summary"}
    assert old.exists()
    before = database.stat().st_size
    assert odyssey("store", "gc", "--quota", "0", "--yes", "-w", root) == 0
    assert not old.exists()
    assert not stale.exists()
    assert database.stat().st_size < before
    capsys.readouterr()
    assert odyssey("store", "check", "--deep", "-w", root) == 0
    assert odyssey("tokens", "adapt-docs-r0-p5-s", "-w", root) != 0
    assert "odyssey store gc" in capsys.readouterr().err


def test_gc_says_how_to_delete_only_before_it_deletes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert odyssey("store", "gc", "--quota", "0", "--keep-days", "0", "-w", root) == 0
    assert "'odyssey store gc --yes'" in capsys.readouterr().err
    assert odyssey("store", "gc", "--quota", "0", "--keep-days", "0", "-y", "-w", root) == 0
    said = capsys.readouterr().err
    assert "deleted" in said
    assert "--yes" not in said


def test_rebuild_names_the_files_it_was_given(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, foreign = root.parent / "saved.tar.zst", root.parent / "notes.txt"
    foreign.write_text("no database")
    assert odyssey("store", "backup", saved, "-w", root) == 0
    assert odyssey("store", "rebuild", "--yes", "--from", foreign, "-w", root) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "notes.txt" in said
    assert "Give a file that `odyssey store backup` made" in said
    (root / "odyssey.duckdb").unlink()
    assert odyssey("store", "rebuild", "--yes", "--from", saved, "-w", root) == 0
    assert "saved.tar.zst" in capsys.readouterr().out


def test_who_says_no_is_told_that_nothing_was_done(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert odyssey("store", "rebuild", "-w", root) == 130
    assert "nothing was done" in capsys.readouterr().err


def test_delete_shows_asks_and_deletes(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "adapt-docs-r0.25-p45-xs"
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert odyssey("delete", name, "-w", root) == 130
    shown = capsys.readouterr()
    assert name in shown.out
    assert "of token_losses" in " ".join(shown.err.split())
    assert odyssey("delete", "pretrain-s", "--yes", "-w", root) == 1
    assert "is needed by" in capsys.readouterr().err
    assert odyssey("delete", name, "--yes", "-w", root) == 0
    assert odyssey("delete", name, "--yes", "-w", root) == 1
    assert odyssey("store", "check", "--deep", "-w", root) == 0


def test_a_program_that_holds_the_database_is_named_and_nothing_is_replaced(root: Path) -> None:
    database = root / "odyssey.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    workspace, inode = Workspace.open(root), database.stat().st_ino
    try:
        assert holder.stdout.readline() == "held\n"
        for act in (rebuild, compact):
            with pytest.raises(WorkspaceError, match=f"in use by process {holder.pid}"):
                act(workspace, wait_s=0.05)
    finally:
        holder.stdin.close()
        holder.wait(timeout=30)
        holder.stdout.close()
    assert database.stat().st_ino == inode
    assert not list(root.glob(".*"))


def test_where_nobody_may_write_nothing_is_harmed(voyage: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with readonly_copy(lambda folder: shutil.copytree(voyage.root, folder)) as folder:
        for command in (["rebuild", "--yes"], ["gc", "--quota", "0", "--yes"], ["backup", folder / "b.tar.zst"]):
            assert odyssey("store", *command, "-w", folder) in (1, 3)
            assert "error:" in capsys.readouterr().err
        assert odyssey("delete", "adapt-docs-r0.25-p45-xs", "--yes", "-w", folder) in (1, 3)
        assert odyssey("store", "check", "-w", folder) == 0
