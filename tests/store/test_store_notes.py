"""Tags, notes and pins travel through their journal into the list of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import notes
from store.database import lease
from store.errors import DataError
from store.ingest import has_news, ingest
from store.queries import runs
from store.workspace import Workspace
from tests.support.synthetic import write_finished_runs

FIRST, SECOND = "scale-000000", "scale-000001"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "ws")
    write_finished_runs(workspace, 2)
    ingest(workspace)
    return workspace


def rows(workspace: Workspace) -> dict[str, runs.RunRow]:
    ingest(workspace)
    with lease(workspace) as con:
        return {row.run_id: row for row in runs.list_runs(con)}


def test_tags_come_and_go(workspace: Workspace) -> None:
    notes.tag(workspace, [FIRST, SECOND], "paper")
    notes.tag(workspace, [FIRST], "odd")
    assert has_news(workspace)
    found = rows(workspace)
    assert (found[FIRST].tags, found[SECOND].tags) == (["odd", "paper"], ["paper"])
    notes.untag(workspace, [FIRST], "paper")
    found = rows(workspace)
    assert (found[FIRST].tags, found[SECOND].tags) == (["odd"], ["paper"])
    notes.tag(workspace, [FIRST], "paper")
    assert rows(workspace)[FIRST].tags == ["odd", "paper"]
    assert not has_news(workspace)


def test_pins_and_notes(workspace: Workspace) -> None:
    notes.pin(workspace, [FIRST])
    notes.note(workspace, [FIRST], "  the curve bends at step 40  ")
    notes.note(workspace, [FIRST], "again")
    found = rows(workspace)
    assert (found[FIRST].pinned, found[FIRST].n_notes, found[SECOND].pinned) == (True, 2, False)
    with lease(workspace) as con:
        assert [note.text for note in runs.list_notes(con, FIRST)] == ["the curve bends at step 40", "again"]
    notes.unpin(workspace, [FIRST])
    assert rows(workspace)[FIRST].pinned is False


@pytest.mark.parametrize("name", ["", "two words", " "])
def test_a_tag_is_one_word(workspace: Workspace, name: str) -> None:
    with pytest.raises(DataError, match="cannot be a tag"):
        notes.tag(workspace, [FIRST], name)
    with pytest.raises(DataError, match="needs some text"):
        notes.note(workspace, [FIRST], " ")
    assert not workspace.notes.exists()
