"""Leases between processes, and the schema's migrations. Processes are synchronised by pipes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from store import schema
from store.database import lease, lease_path
from store.errors import WorkspaceError
from store.schema import Migration
from store.workspace import Workspace
from tests.support.privileges import readonly_copy

HOLD = """
import sys
from store.database import lease
from store.workspace import Workspace
with lease(Workspace.open(sys.argv[1]), write=sys.argv[2] == "write"):
    print("held", flush=True)
    sys.stdin.read()
"""
FOREIGN = """
import sys, duckdb
con = duckdb.connect(sys.argv[1] + "/odyssey.duckdb")
print("held", flush=True)
sys.stdin.read()
"""
COUNT = """
import sys
from store.database import lease
from store.workspace import Workspace
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    with lease(Workspace.open(sys.argv[1]), write=True, wait_s=60) as con:
        (value,) = con.execute("SELECT max(tokens) FROM checkpoints").fetchall()[0]
        con.execute("INSERT INTO checkpoints (run_id, tokens) VALUES ('x', ?)", [value + 1])
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "ws")
    with lease(workspace):
        pass
    return workspace


@contextmanager
def holding(script: str, workspace: Workspace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the database until its standard input closes."""
    command = [sys.executable, "-c", script, str(workspace.root), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() in ("held", "ready")
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.mark.parametrize("write", [False, True])
def test_a_writer_keeps_others_out_and_is_named(workspace: Workspace, write: bool) -> None:
    with (
        holding(HOLD, workspace, "write") as holder,
        pytest.raises(WorkspaceError, match=f"in use by process {holder.pid}"),
        lease(workspace, write=write, wait_s=0.05),
    ):
        pass
    with lease(workspace, write=write) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]


def test_readers_share_and_keep_a_writer_out(workspace: Workspace) -> None:
    with holding(HOLD, workspace, "read"):
        with lease(workspace, wait_s=5) as con:
            assert con.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
        with pytest.raises(WorkspaceError, match="in use by process"), lease(workspace, write=True, wait_s=0.05):
            pass


def test_a_killed_holder_leaves_no_lock(workspace: Workspace) -> None:
    with holding(HOLD, workspace, "write") as holder:
        holder.kill()
        holder.wait()
        with lease(workspace, write=True, wait_s=5) as con:
            con.execute("INSERT INTO checkpoints (run_id) VALUES ('x')")


def test_a_foreign_program_is_named(workspace: Workspace) -> None:
    with holding(FOREIGN, workspace) as holder:
        for write in (False, True):
            with (
                pytest.raises(WorkspaceError, match=f"in use by process {holder.pid}"),
                lease(workspace, write=write, wait_s=0.05),
            ):
                pass
    with lease(workspace, write=True, wait_s=5) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]


def test_two_writers_lose_nothing(workspace: Workspace) -> None:
    with lease(workspace, write=True) as con:
        con.execute("INSERT INTO checkpoints (run_id, tokens) VALUES ('x', 0)")
    with holding(COUNT, workspace) as one, holding(COUNT, workspace) as other:
        for process in (one, other):
            process.stdin.write("go\n")
            process.stdin.flush()
        assert one.wait(timeout=60) == other.wait(timeout=60) == 0
    with lease(workspace) as con:
        assert con.execute("SELECT max(tokens), count(*) FROM checkpoints").fetchall() == [(20, 21)]


def test_a_lease_ends_with_an_error_inside(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), lease(workspace, write=True):
        raise ZeroDivisionError
    with lease(workspace, write=True, wait_s=1):
        pass


def test_a_read_only_workspace_can_be_read_and_not_written(workspace: Workspace) -> None:
    def make(path: Path) -> None:
        with lease(Workspace.create(path), write=True) as con:
            con.execute("INSERT INTO runs (run_id) VALUES ('a')")

    with readonly_copy(make) as path:
        copy = Workspace.open(path)
        with lease(copy) as con:
            assert con.execute("SELECT run_id FROM runs").fetchall() == [("a",)]
        with pytest.raises(WorkspaceError, match="cannot write"), lease(copy, write=True):
            pass


def test_a_damaged_database_is_one_clear_error(workspace: Workspace) -> None:
    workspace.database_path.write_bytes(b"not a database" * 1000)
    with pytest.raises(WorkspaceError, match="cannot open the database"), lease(workspace):
        pass


@pytest.mark.parametrize("write", [False, True])
def test_a_process_that_died_while_it_made_the_database_holds_nobody_up(workspace: Workspace, write: bool) -> None:
    workspace.database_path.write_bytes(b"")
    with lease(workspace, write=write) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]


def test_migrations_count_from_one_without_gaps() -> None:
    assert [step.version for step in schema.migrations()] == list(range(1, len(schema.migrations()) + 1))


def test_an_older_database_is_backed_up_then_upgraded(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    old = schema.newest_version()
    with lease(workspace, write=True) as con:
        con.execute("INSERT INTO runs (run_id) VALUES ('kept')")
    step = Migration(old + 1, "extra", "ALTER TABLE runs ADD COLUMN extra VARCHAR")
    monkeypatch.setattr(schema, "migrations", lambda: (*_STEPS, step))
    with lease(workspace) as con:
        assert con.execute("SELECT run_id, extra FROM runs").fetchall() == [("kept", None)]
        assert schema.read_version(con) == old + 1
    backup = workspace.database_path.with_name(f"odyssey.duckdb.v{old}.backup")
    with duckdb.connect(str(backup), read_only=True) as con:
        assert con.execute("SELECT run_id FROM runs").fetchall() == [("kept",)]
        assert schema.read_version(con) == old


def test_a_failing_migration_leaves_no_trace(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    old = schema.newest_version()
    broken = Migration(old + 1, "broken", "CREATE TABLE half (a INTEGER); SELECT * FROM no_such_table;")
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: (*_STEPS, broken))
        with pytest.raises(duckdb.CatalogException), lease(workspace, write=True):
            pass
    with lease(workspace) as con:
        assert schema.read_version(con) == old
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'").fetchall() == [(0,)]


@pytest.mark.parametrize("write", [False, True])
def test_a_newer_database_is_refused(workspace: Workspace, write: bool) -> None:
    with lease(workspace, write=True) as con:
        con.execute("INSERT INTO schema_migrations VALUES (99, 'future', 0)")
    with pytest.raises(WorkspaceError, match="schema version 99"), lease(workspace, write=write):
        pass
    assert lease_path(workspace).exists()


_STEPS = schema.migrations()
