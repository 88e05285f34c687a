"""Backups: whole when written, refused when damaged or foreign, and what restoring brings back."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from store import schema
from store.database import lease
from store.errors import OdysseyError
from store.files import write_json
from store.ingest import ingest
from store.upkeep.archive import reading, write_backup
from store.upkeep.restore import restore, staged_backup
from store.upkeep.tables import count_rows
from store.workspace import Workspace
from tests.support.dying import die_at
from tests.support.synthetic import find_run_dir, write_finished_runs


def rows_of(workspace: Workspace) -> dict[str, int]:
    with lease(workspace) as con:
        return count_rows(con)


@pytest.fixture(scope="session")
def backup(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("backup") / "saved.tar.zst"
    copy = target.parent / "ws"
    shutil.copytree(pristine, copy)
    (copy / "runs" / "pretrain-xs" / "checkpoints").mkdir(parents=True)
    write_backup(Workspace.open(copy), target)
    return target


def test_a_lost_workspace_comes_back_elsewhere(workspace: Workspace, backup: Path, tmp_path: Path) -> None:
    new = Workspace.create(tmp_path / "new")
    with staged_backup(new, backup) as staged:
        assert restore(new, staged) is None
    ingest(new)
    assert rows_of(new) == rows_of(workspace)
    assert new.run_ids() == workspace.run_ids()
    assert not list(new.root.glob(".*"))


def test_the_database_may_be_on_another_disk(
    workspace: Workspace, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, before = tmp_path / "disk", rows_of(workspace)
    disk.mkdir()
    shutil.move(workspace.database_path, disk / "law.duckdb")
    (workspace.root / "settings.toml").write_text(f'database = "{disk / "law.duckdb"}"\n')
    workspace = Workspace.open(workspace.root)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, partial(move_within, disk, getattr(os, name)))
    with staged_backup(workspace, backup) as staged:
        kept = restore(workspace, staged)
    assert kept is not None
    assert kept.parent == disk
    assert rows_of(workspace) == before


def move_within(disk: Path, move: Callable[[Path, Path], None], old: Path, new: Path) -> None:
    if (disk in Path(old).parents) != (disk in Path(new).parents):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    move(old, new)


def test_what_is_missing_or_shorter_comes_back_and_the_rest_stays(workspace: Workspace, backup: Path) -> None:
    before = rows_of(workspace)
    gone = find_run_dir(workspace, "adapt-docs-r0.25-p45-xs").path
    shutil.rmtree(gone)
    journal = find_run_dir(workspace, "pretrain-xs").attempt(1).events
    whole = journal.read_text()
    journal.write_text("".join(whole.splitlines(keepends=True)[:10]))
    write_finished_runs(workspace, 2)
    workspace.database_path.write_bytes(b"no database")
    with staged_backup(workspace, backup) as staged:
        assert staged.restoration.newer_losses is None
        kept = restore(workspace, staged)
    ingest(workspace)
    assert kept.read_bytes() == b"no database"
    assert journal.read_text() == whole
    assert (gone / "spec.json").exists()
    assert rows_of(workspace)["token_losses"] == before["token_losses"]
    assert rows_of(workspace)["runs"] == before["runs"] + 2


def test_a_backup_of_another_workspace_is_refused(backup: Path, tmp_path: Path) -> None:
    other = Workspace.create(tmp_path / "other")
    write_finished_runs(other, 1)
    with pytest.raises(OdysseyError, match="of another workspace"), staged_backup(other, backup):
        pass


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "tar"])
def test_a_damaged_backup_is_refused_and_nothing_changes(
    workspace: Workspace, backup: Path, tmp_path: Path, damage: str
) -> None:
    bad = tmp_path / "bad.tar.zst"
    data = bytearray(backup.read_bytes())
    if damage == "cut":
        bad.write_bytes(data[: len(data) * 2 // 3])
    elif damage == "flipped":
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
        bad.write_bytes(data)
    elif damage == "text":
        bad.write_text("hello")
    else:
        with (
            pa.CompressedOutputStream(pa.OSFile(str(bad), "wb"), "zstd") as stream,
            tarfile.open(fileobj=stream, mode="w|") as tar,
        ):
            tar.add(__file__, "test.py")
    before = workspace.database_path.read_bytes()
    with pytest.raises(OdysseyError, match=r"bad\.tar\.zst|damaged"), staged_backup(workspace, bad):
        pass
    assert workspace.database_path.read_bytes() == before
    assert not list(workspace.root.glob(".*"))


def test_a_backup_of_a_newer_odyssey_is_refused(workspace: Workspace, backup: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with reading(backup) as tar:
        tar.extractall(folder, filter="data")
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", manifest | {"schema": schema.newest_version() + 1})
    newer = tmp_path / "newer.tar.zst"
    with (
        pa.CompressedOutputStream(pa.OSFile(str(newer), "wb"), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for path in [folder / "manifest.json", *sorted(folder.iterdir())]:
            tar.add(path, path.name)
    with pytest.raises(OdysseyError, match="newer odyssey"), staged_backup(workspace, newer):
        pass


def test_a_full_disk_leaves_no_half_a_backup(workspace: Workspace, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom store.upkeep.archive import write_backup\n"
        "from store.workspace import Workspace\nfrom store.errors import OdysseyError\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, {resource.RLIM_INFINITY}))\n"
        f"try: write_backup(Workspace.open({str(workspace.root)!r}), Path({str(tmp_path / 'b.tar.zst')!r}))\n"
        "except OdysseyError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "cannot write" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


@pytest.mark.parametrize("nth", [1, 2])
def test_a_kill_while_restoring_can_be_repeated(workspace: Workspace, backup: Path, nth: int) -> None:
    before = rows_of(workspace)
    shutil.rmtree(find_run_dir(workspace, "adapt-docs-r0.25-p45-xs").path)
    shutil.rmtree(find_run_dir(workspace, "adapt-docs-r0.25-p15-xs").path)
    body = (
        "from pathlib import Path\nfrom store.workspace import Workspace\n"
        "from store.upkeep.restore import restore, staged_backup\n"
        f"ws = Workspace.open({str(workspace.root)!r})\n"
        f"with staged_backup(ws, Path({str(backup)!r})) as staged: restore(ws, staged)"
    )
    place = "store.upkeep.restore:replace_database" if nth == 1 else "store.upkeep.swap:put_in_place"
    assert die_at(place, body)
    with staged_backup(workspace, backup) as staged:
        restore(workspace, staged)
    ingest(workspace)
    assert rows_of(workspace) == before
