"""A database outside the workspace: one machine's, one workspace's, and never a second one by mistake."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from store import location
from store.cautions import list_cautions
from store.database import lease
from store.errors import WorkspaceError
from store.ingest import ingest
from store.mounts import file_system_of, is_shared
from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace


def settle(root: Path, database: Path | None) -> Workspace:
    """The workspace with a database as set, opened anew."""
    (root / "settings.toml").write_text(f'database = "{database}"\n' if database else "")
    return Workspace.open(root)


def rows(workspace: Workspace) -> int:
    ingest(workspace)
    with lease(workspace) as con:
        return con.execute("SELECT count(*) FROM token_losses").fetchall()[0][0]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder on a disk of this machine."""
    (tmp_path / "local").mkdir()
    return tmp_path / "local" / "law.duckdb"


@pytest.fixture
def workspace(tmp_path: Path, local: Path) -> Workspace:
    """With its results in a database on the local disk."""
    made = synthetic_workspace(tmp_path / "workspace", ingested=False)
    workspace = settle(made.root, local)
    assert rows(workspace) > 0
    return workspace


def test_everything_of_the_database_lies_beside_it(workspace: Workspace, local: Path) -> None:
    assert not list(workspace.root.glob("odyssey.duckdb*"))
    assert {path.name for path in local.parent.iterdir()} >= {"law.duckdb", "law.duckdb.lease", "law.duckdb.seen"}


def test_another_machine_is_refused_and_makes_no_database(
    workspace: Workspace, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = location.host_name()
    local.rename(local.with_name("unseen"))
    monkeypatch.setattr(location, "host_name", lambda: "other")
    with pytest.raises(WorkspaceError, match=f"{here}:{local}, and this is other"):
        rows(workspace)
    assert not local.exists()


def test_a_setting_that_changes_waits_for_the_file_to_be_moved(workspace: Workspace, local: Path) -> None:
    before, target = rows(workspace), local.with_name("moved.duckdb")
    for there in (target, None):
        changed = settle(workspace.root, there)
        with pytest.raises(WorkspaceError, match="it is still") as refused:
            rows(changed)
        source = local if there else target
        assert f"mv {source} {changed.database_path}" in refused.value.hint
        source.rename(changed.database_path)
        assert rows(changed) == before
    assert not (workspace.root / "database.json").exists()


def test_a_database_that_moves_out_of_the_workspace(tmp_path: Path, local: Path) -> None:
    inside = synthetic_workspace(tmp_path / "workspace")
    before = rows(inside)
    outside = settle(inside.root, local)
    with pytest.raises(WorkspaceError, match="it is still"):
        rows(outside)
    inside.database_path.rename(local)
    assert rows(outside) == before


def test_two_databases_are_refused(workspace: Workspace, local: Path) -> None:
    shutil.copy(local, local.with_name("second.duckdb"))
    with pytest.raises(WorkspaceError, match="has two databases"):
        rows(settle(workspace.root, local.with_name("second.duckdb")))


def test_a_database_that_is_gone(workspace: Workspace, local: Path) -> None:
    local.unlink()
    with pytest.raises(WorkspaceError, match="is gone") as refused:
        rows(workspace)
    assert "database.json" in refused.value.hint
    (workspace.root / "database.json").unlink()
    ingest(workspace)
    assert local.exists()


def test_a_copied_workspace_leaves_the_original_its_database(workspace: Workspace, local: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace.root, tmp_path / "copy")
    with pytest.raises(WorkspaceError, match=f"belongs to the workspace {workspace.root}"):
        rows(Workspace.open(tmp_path / "copy"))
    copied = settle(tmp_path / "copy", local.with_name("copy.duckdb"))
    ingest(copied)
    with lease(copied) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchall()[0][0] > 20
    assert rows(workspace) > 0


def test_a_workspace_that_was_moved_keeps_its_database(workspace: Workspace, tmp_path: Path) -> None:
    before = rows(workspace)
    workspace.root.rename(tmp_path / "moved")
    assert rows(Workspace.open(tmp_path / "moved")) == before


MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 21 0:31 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2
36 21 0:32 / /mnt/my\\040disk rw - fuse.sshfs me@there:/ rw
37 35 8:2 / /home/me/scratch rw - xfs /dev/sdb1 rw
38 21 0:40 / /lustre rw - lustre 10.0.0.1@tcp:/fs rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/var/odyssey.duckdb", "ext4", False),
        ("/home/me/odyssey.duckdb", "nfs4", True),
        ("/home/me/scratch/odyssey.duckdb", "xfs", False),
        ("/homes/odyssey.duckdb", "ext4", False),
        ("/mnt/my disk/odyssey.duckdb", "fuse.sshfs", True),
        ("/lustre/odyssey.duckdb", "lustre", True),
    ],
)
def test_network_file_systems_are_told_from_disks(path: str, kind: str, shared: bool) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind
    assert is_shared(kind) is shared


def test_a_database_on_a_network_file_system_is_warned_of(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    (caution,) = list_cautions(workspace, f"21 1 8:1 / {tmp_path} rw - nfs4 server:/home rw\n")
    assert "(nfs4)" in caution
    assert 'database = "' in caution
    assert not list_cautions(workspace, "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
