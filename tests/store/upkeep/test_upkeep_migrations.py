"""A database of every older version opens and is upgraded after a copy; a kill on the way leaves one that opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import schema
from store.database import lease, open_file
from store.errors import WorkspaceError
from store.upkeep.swap import log_of
from store.workspace import Workspace
from tests.support.dying import die_at


def make_old(workspace: Workspace, version: int) -> None:
    """A database as that version wrote it, with an evaluation of two tokens."""
    with open_file(workspace.database_path, write=True) as con:
        schema.migrate(con, schema.migrations()[:version])
        con.execute("INSERT INTO runs (run_id, state, closed) VALUES ('r', 'done', true)")
        con.execute(
            "INSERT INTO eval_tokens VALUES ('s', 0, [5, 6, 5], [0, 0, 1], [0::BIGINT, 1, 2], [1::BIGINT, 2, 3])"
        )
        con.execute(
            "INSERT INTO evaluations (evaluation_id, model_id, eval_set_id, predicted, sum_loss, run_id) "
            "VALUES ('e', 'm', 's', 2, 3.5, 'r')"
        )
        if version < 4:
            con.execute("INSERT INTO token_losses VALUES ('e', 0, [NULL, 1.5, 2.0], 'r', 1)")


@pytest.mark.parametrize("version", range(1, schema.newest_version()))
def test_every_older_version_is_upgraded_after_a_copy(tmp_path: Path, version: int) -> None:
    workspace = Workspace.create(tmp_path / "ws")
    make_old(workspace, version)
    with lease(workspace) as con:
        assert schema.read_version(con) == schema.newest_version()
        assert con.execute("SELECT kept, sum_loss FROM evaluations").fetchall() == [("tokens", 3.5)]
        if version < 4:
            sums = con.execute("SELECT token_id, n, sum_loss FROM type_losses ORDER BY ALL").fetchall()
            assert sums == [(5, 1, 2.0), (6, 1, 1.5)]
    with open_file(workspace.root / f"odyssey.duckdb.v{version}.backup") as con:
        assert schema.read_version(con) == version


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_kill_while_upgrading_leaves_a_database_that_opens(tmp_path: Path, nth: int) -> None:
    workspace = Workspace.create(tmp_path / "ws")
    make_old(workspace, 1)
    body = (
        "from store.workspace import Workspace\nfrom store.database import lease\n"
        f"with lease(Workspace.open({str(workspace.root)!r})): pass"
    )
    # The clock is read for each step, within its transaction, after its statements.
    assert die_at("store.schema:time.time", body, nth=nth)
    with lease(workspace) as con:
        assert schema.read_version(con) == schema.newest_version()
        assert con.execute("SELECT state FROM runs").fetchall() == [("done",)]
        assert con.execute("SELECT count(*), sum(n) FROM type_losses").fetchall() == [(2, 2)]


def test_a_newer_one_is_refused_and_untouched(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "ws")
    with lease(workspace, write=True) as con:
        con.execute("INSERT INTO schema_migrations VALUES (?, 'to come', 0)", [schema.newest_version() + 1])
    content = workspace.database_path.read_bytes()
    for write in (False, True):
        with pytest.raises(WorkspaceError, match="knows versions up to"), lease(workspace, write=write):
            pass
    assert workspace.database_path.read_bytes() == content
    assert not log_of(workspace.database_path).exists()
