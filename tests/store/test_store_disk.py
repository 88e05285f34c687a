"""A disk that is full, and one that is mounted read-only: messages, nothing lost, what there is can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.launch import requests
from engine.launch.tickets import Ticket, read_ticket, write_ticket
from store.cautions import list_cautions
from store.database import back_up, hold_alone, lease
from store.errors import WorkspaceError
from store.ingest import ingest
from store.journal import Journal, read_events
from store.notes import tag
from store.space import is_full
from store.upkeep.rebuild import rebuild
from store.workspace import Workspace
from tests.support.small_disk import filled, make_readonly, small_disk
from tests.support.synthetic import synthetic_workspace

FREE = (0, 100_000, 700_000, 1_500_000, 2_500_000)
"""Bytes left: a transaction fails at its beginning, in its middle, at its commit, or fits."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as place:
        yield place


def shards(workspace: Workspace) -> int:
    return len(list(workspace.runs.glob("*/attempts/*/spool/*.parquet")))


def losses(workspace: Workspace) -> list[tuple[int, int]]:
    with lease(workspace) as con:
        return con.execute("SELECT count(*), count(DISTINCT (evaluation_id, block)) FROM token_losses").fetchall()


def test_an_ingest_that_finds_no_room_goes_on_when_there_is(disk: Path, tmp_path: Path) -> None:
    workspace = synthetic_workspace(disk / "workspace", ingested=False)
    waiting = shards(workspace)
    failed = 0
    for free in FREE:
        with filled(disk, but_bytes=free):
            try:
                ingest(workspace)
            except WorkspaceError as error:
                failed += 1
                refused = error
                assert shards(workspace) == waiting
    assert failed >= 3
    assert is_full(refused)
    assert str(workspace.database_path) in refused.message
    ingest(workspace)
    assert shards(workspace) == 0
    assert losses(workspace) == losses(synthetic_workspace(tmp_path / "roomy"))


def test_a_rebuild_that_finds_no_room_changes_nothing_and_says_so(disk: Path) -> None:
    workspace = synthetic_workspace(disk / "workspace")
    before = losses(workspace)
    with filled(disk, but_bytes=0), pytest.raises(WorkspaceError, match="no space left") as refused:
        rebuild(workspace)
    assert "damaged" not in refused.value.hint
    assert losses(workspace) == before


def test_everything_that_writes_says_so_and_leaves_what_was(disk: Path) -> None:
    workspace = synthetic_workspace(disk / "workspace")
    run_id = workspace.run_ids()[0]
    ticket = Ticket(run_id, 1.0, 1.0)
    write_ticket(workspace, ticket)
    journal = Journal(workspace.run(run_id).control)
    before, _ = read_events(journal.path)

    def back_up_alone() -> None:
        with hold_alone(workspace):
            back_up(workspace, "v1")

    def append_much() -> None:
        for _ in range(100):
            journal.append("held", reason="x" * 4096)

    with filled(disk, but_bytes=0):
        for write in (
            lambda: write_ticket(workspace, Ticket(run_id, 2.0, 2.0)),
            lambda: requests.cancel(workspace, [run_id]),
            lambda: tag(workspace, [run_id], "x" * 100_000),
            append_much,
            back_up_alone,
        ):
            with pytest.raises(WorkspaceError, match="No space left") as refused:
                write()
            assert is_full(refused.value)
    assert read_ticket(workspace, run_id) == ticket
    assert not requests.read_requests(workspace)
    assert not list(disk.glob("workspace/*.backup"))
    assert not list(disk.glob("workspace/queue/*/.*"))
    journal.append("queued")
    journal.close()
    events, _ = read_events(journal.path)
    assert events[: len(before)] == before
    assert events[-1]["event"] == "queued"


def test_a_disk_mounted_read_only_is_read(disk: Path) -> None:
    workspace = synthetic_workspace(disk / "workspace")
    tag(workspace, workspace.run_ids()[:1], "news")
    known = losses(workspace)
    make_readonly(disk)
    ingest(workspace)
    assert losses(workspace) == known
    (caution,) = list_cautions(workspace)
    assert "you cannot write" in caution
    with pytest.raises(WorkspaceError, match="Read-only file system"):
        requests.pause(workspace)
