"""Whatever stands where the database, a journal or settings should: a message that names it; nothing overwritten."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from store.database import DamagedDatabase, lease, lease_path
from store.errors import OdysseyError, WorkspaceError
from store.ingest import ingest
from store.journal import MALFORMED, Journal, read_events
from store.location import host_name
from store.workspace import Workspace
from tests.support.synthetic import find_run_dir, synthetic_workspace

BLOCK_BYTES = 262_144


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return synthetic_workspace(tmp_path_factory.mktemp("finished") / "workspace")


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    return Workspace.open(shutil.copytree(finished.root, tmp_path / "workspace"))


def foreign(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE customers (name VARCHAR)")


def sqlite(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as con:
        con.execute("CREATE TABLE runs (run_id TEXT)")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("unmounted.duckdb"))


def newer_storage(path: Path) -> None:
    """The version of the storage format stands after the checksum and the four letters DUCK."""
    data = bytearray(path.read_bytes())
    data[12:20] = (9_999).to_bytes(8, "little")
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(os.urandom(10_000)),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut to its head": lambda path: os.truncate(path, 100),
    "a folder": folder,
    "of something else": foreign,
    "SQLite": sqlite,
    "a dead link": dead_link,
    "of a newer DuckDB": newer_storage,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_database_that_is_none(workspace: Workspace, kind: str) -> None:
    path = workspace.database_path
    DAMAGE[kind](path)
    before = path.read_bytes() if path.is_file() else sorted(os.listdir(path)) if path.is_dir() else os.readlink(path)
    with (workspace.notes).open("a") as notes:
        notes.write('{"seq": 99, "t": 1.0, "event": "pin", "runs": [], "text": ""}\n')
    for use in (lambda: ingest(workspace), lambda: _read_all(workspace)):
        with pytest.raises(WorkspaceError) as refused:
            use()
        assert str(path) in refused.value.message
        assert refused.value.hint
    after = path.read_bytes() if path.is_file() else sorted(os.listdir(path)) if path.is_dir() else os.readlink(path)
    assert after == before or kind == "truncated"


def test_a_damaged_block_of_a_database_that_opens_is_named(workspace: Workspace) -> None:
    path = workspace.database_path
    with lease(workspace) as con:
        found = con.execute("SELECT max(block_id) FROM pragma_storage_info('token_losses')").fetchall()
    content = bytearray(path.read_bytes())
    content[3 * 4096 + found[0][0] * BLOCK_BYTES + 100] ^= 0xFF
    path.write_bytes(content)
    assert _count(workspace) > 20
    with pytest.raises(DamagedDatabase, match="Corrupt") as refused:
        _read_all(workspace)
    assert str(path) in refused.value.message


def _read_all(workspace: Workspace) -> None:
    with lease(workspace) as con:
        con.execute("SELECT sum(len(losses)) FROM token_losses").fetchall()


def _count(workspace: Workspace) -> int:
    with lease(workspace) as con:
        return con.execute("SELECT count(*) FROM runs").fetchall()[0][0]


def test_who_holds_the_database_is_named(workspace: Workspace) -> None:
    code = (
        "import sys; from store.database import lease; from store.workspace import Workspace\n"
        "with lease(Workspace.open(sys.argv[1]), write=True): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(workspace.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceError) as refused, lease(workspace, wait_s=0.1):
            pass
        assert (
            f"in use by process {holder.pid} on {host_name()} (-c {str(workspace.root)[:20]}" in refused.value.message
        )
        holder.stdin.close()


def test_a_foreign_tool_that_has_the_database_open_is_named(workspace: Workspace) -> None:
    code = "import sys, duckdb; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(workspace.database_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceError) as refused, lease(workspace, wait_s=0.1):
            pass
        assert (
            f"in use by process {holder.pid} on {host_name()} ({sys.executable} -c import sys" in refused.value.message
        )
        holder.stdin.close()


@pytest.mark.parametrize("signature", ["", "\0" * 40, "[]", '{"pid": 1', '"word"'])
def test_a_damaged_signature_stops_nobody(workspace: Workspace, signature: str) -> None:
    lease_path(workspace).write_text(signature)
    assert _count(workspace) > 20


@pytest.mark.parametrize(
    "memory", ["", "[]", "{}", "null", '{"format": 1, "inode": 0, "notes": 1, "closed": [7], "open": {}}']
)
def test_a_damaged_memory_of_the_last_ingest_is_made_anew(workspace: Workspace, memory: str) -> None:
    ingest(workspace)
    seen = workspace.database_path.with_name("odyssey.duckdb.seen")
    before = seen.read_text()
    seen.write_text(memory)
    ingest(workspace)
    assert seen.read_text() == before


def test_lines_of_any_kind_in_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [
        '{"seq": 0, "t": 1.0, "event": "starting"}',
        '{"seq": true, "t": 1.0, "event": "starting"}',
        '{"seq": 1, "t": NaN, "event": "metric"}',
        '{"seq": 1, "t": 1e400, "event": "metric"}',
        f'{{"seq": {2**80}, "t": 1.0, "event": "metric"}}',
        '{"seq": -5, "t": 1.0, "event": "metric"}',
        "[" * 100_000,
        "\0" * 4096,
        '{"seq": 1, "t": 2.0, "event": "done"}',
        '{"seq": 2, "t": 3.0, "ev',
    ]
    path.write_text("\n".join(lines))
    events, end = read_events(path)
    assert [event["event"] for event in events] == ["starting", *[MALFORMED] * 7, "done"]
    assert end == len("\n".join(lines[:-1])) + 1
    journal = Journal(path)
    assert journal.append("heartbeat")["seq"] == 2
    journal.close()


def test_values_of_the_wrong_type_in_a_journal_change_no_state_and_stop_no_ingest(workspace: Workspace) -> None:
    run = find_run_dir(workspace, "adapt-docs-r0-p5-xs")
    before = run.state()
    with open(run.latest_attempt().events, "a") as file:
        for number, fields in enumerate(
            (
                '"event": "progress", "done": "half", "total": [], "phase": 7, "eta_s": {}',
                '"event": "progress", "done": -1, "total": 1e999',
                '"event": "metric", "step": "x", "values": {"loss": "low"}',
                '"event": "metric", "values": 3',
                '"event": "evaluation", "evaluation_id": {}, "sum_loss": "much"',
                '"event": "model", "model_id": null',
                '"event": "starting", "pid": "me", "host": 4, "versions": 3',
            )
        ):
            file.write(f'{{"seq": {10_000 + number}, "t": {before.heartbeat}, {fields}}}\n')
    state = run.state()
    assert (state.done, state.total, state.eta_s, state.pid) == (before.done, before.total, before.eta_s, before.pid)
    assert ingest(workspace).warnings
    assert _count(workspace) > 20


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("settings.toml", b"\xff\xfe"),
        ("settings.toml", b"retries = -1\n"),
        ("settings.toml", b"[[["),
        ("workspace.json", b""),
        ("workspace.json", b"[]"),
        ("workspace.json", b'{"format": "one"}'),
        ("workspace.json", b"[" * 100_000),
    ],
)
def test_the_workspace_s_own_files(workspace: Workspace, file: str, content: bytes) -> None:
    (workspace.root / file).write_bytes(content)
    with pytest.raises(OdysseyError) as refused:
        Workspace.open(workspace.root)
    assert file in refused.value.message
    assert refused.value.hint
    assert (workspace.root / file).read_bytes() == content


def _metrics(workspace: Workspace, run_id: str) -> list[tuple[object, ...]]:
    ingest(workspace)
    with lease(workspace) as con:
        return con.execute(
            "SELECT seq, branch, step, name, value FROM metrics WHERE run_id = ? ORDER BY ALL", [run_id]
        ).fetchall()


def _warnings(workspace: Workspace, run_id: str) -> str:
    with lease(workspace) as con:
        return str(con.execute("SELECT message FROM warnings WHERE run_id = ?", [run_id]).fetchall())


@pytest.mark.parametrize("ingested", [False, True], ids=["before it was ingested", "after"])
def test_lines_that_stand_twice_count_once(tmp_path: Path, ingested: bool) -> None:
    workspace = synthetic_workspace(tmp_path / "workspace", ingested=ingested)
    run_id = find_run_dir(workspace, "adapt-docs-r0-p5-xs").run_id
    expected = _metrics(synthetic_workspace(tmp_path / "untouched"), run_id)
    journal = workspace.run(run_id).latest_attempt().events
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:10], *lines[5:]]))
    assert _metrics(workspace, run_id) == expected
    assert "count once" in _warnings(workspace, run_id)


def test_lines_that_are_missing_are_told(tmp_path: Path) -> None:
    workspace = synthetic_workspace(tmp_path / "workspace", ingested=False)
    run_id = find_run_dir(workspace, "adapt-docs-r0-p5-xs").run_id
    journal = workspace.run(run_id).latest_attempt().events
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:10], *lines[13:]]))
    assert {seq for seq, *_ in _metrics(workspace, run_id)}.isdisjoint({10, 11, 12})
    assert "lines are missing before event 13" in _warnings(workspace, run_id)


def test_a_malformed_line_is_not_a_missing_one_too(tmp_path: Path) -> None:
    workspace = synthetic_workspace(tmp_path / "workspace", ingested=False)
    run_id = find_run_dir(workspace, "adapt-docs-r0-p5-xs").run_id
    journal = workspace.run(run_id).latest_attempt().events
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:10], "\0garbage\n", *lines[11:]]))
    ingest(workspace)
    told = _warnings(workspace, run_id)
    assert "malformed line" in told
    assert "missing" not in told


def test_what_cannot_be_read_now_is_read_later(tmp_path: Path) -> None:
    """A dead link stands for a file whose server does not answer: neither is damaged."""
    workspace = synthetic_workspace(tmp_path / "workspace", ingested=False)
    shard = next(iter(sorted(workspace.runs.glob("adapt-docs-r0-*/attempts/1/spool/token_losses-*.parquet"))))
    away = tmp_path / "away.parquet"
    shard.rename(away)
    shard.symlink_to(tmp_path / "not-mounted" / "away.parquet")
    report = ingest(workspace)
    assert report.quarantined == 0
    assert any(shard.name in warning for warning in report.warnings)
    shard.unlink()
    away.rename(shard)
    ingest(workspace)
    assert not shard.exists()
    with lease(workspace) as con:
        found = con.execute("SELECT count(*) FROM token_losses").fetchall()
    with lease(synthetic_workspace(tmp_path / "untouched")) as con:
        assert con.execute("SELECT count(*) FROM token_losses").fetchall() == found
