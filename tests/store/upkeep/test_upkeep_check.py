"""Every check finds what it is for, and nothing in a sound workspace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from store.database import lease
from store.upkeep.check import CHECKS, READABLE, run_checks
from store.workspace import Workspace
from tests.support.synthetic import find_run_dir


def found_by(workspace: Workspace, severity: str = "problem") -> dict[str, str]:
    return {
        name: finding.what
        for name, findings in run_checks(workspace, deep=True)
        for finding in findings
        if finding.severity == severity
    }


def sql(statement: str) -> Callable[[Workspace], None]:
    def change(workspace: Workspace) -> None:
        with lease(workspace, write=True) as con:
            con.execute(statement)

    return change


def lose_directory(workspace: Workspace) -> None:
    shutil.rmtree(find_run_dir(workspace, "adapt-docs-r0.25-p45-xs").path)


def lose_specification(workspace: Workspace) -> None:
    find_run_dir(workspace, "adapt-docs-r0.25-p45-xs").spec_path.unlink()


def rename_directory(workspace: Workspace) -> None:
    path = find_run_dir(workspace, "adapt-docs-r0.25-p45-xs").path
    shutil.copytree(path, path.with_name("copied"))


def cut_journal(workspace: Workspace) -> None:
    journal = find_run_dir(workspace, "pretrain-xs").attempt(1).events
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-4]))


def restore_journal(workspace: Workspace) -> None:
    """As if the last ingest had met a journal without its last lines, which are back."""
    with lease(workspace, write=True) as con:
        con.execute("UPDATE ingested_journals SET byte_offset = byte_offset / 2")


ONE = "evaluation_id = (SELECT min(evaluation_id) FROM token_losses)"
DAMAGES: dict[str, tuple[Callable[[Workspace], None], str]] = {
    "a row twice": (sql("INSERT INTO runs BY NAME SELECT * FROM runs LIMIT 1"), "rows are there once"),
    "no model": (sql("DELETE FROM models WHERE parent IS NULL"), "rows name what exists"),
    "no losses": (sql(f"DELETE FROM token_losses WHERE {ONE}"), "evaluations have their losses"),
    "a block less": (sql(f"DELETE FROM token_losses WHERE {ONE} AND block = 1"), "losses are whole"),
    "a document less": (sql("DELETE FROM documents WHERE document = 0"), "texts are whole"),
    "kept, said wrongly": (sql(f"UPDATE evaluations SET kept = 'summary' WHERE {ONE}"), "what is kept is what is said"),
    "a loss less": (
        sql(f"UPDATE token_losses SET losses = losses[2:] WHERE {ONE} AND block = 0"),
        "losses align with their text",
    ),
    "another sum": (sql(f"UPDATE evaluations SET sum_loss = sum_loss * 1.01 WHERE {ONE}"), "losses add up"),
    "another sum by type": (
        sql("UPDATE type_losses SET sum_loss = sum_loss + 1"),
        "sums by type and document add up",
    ),
    "no directory": (lose_directory, "runs have directories"),
    "no specification": (lose_specification, "runs have directories"),
    "a copy": (rename_directory, "runs have directories"),
    "a journal cut": (cut_journal, "journals are as they were read"),
    "a journal restored": (restore_journal, "finished runs have been read to the end"),
    "another state": (sql("UPDATE runs SET state = 'failed' WHERE state = 'done'"), "states are those of the files"),
}


def test_a_sound_workspace_has_no_finding(workspace: Workspace) -> None:
    results = dict(run_checks(workspace, deep=True))
    assert list(results) == [READABLE, *(check.name for check in CHECKS)]
    assert [found for found in results.values() if found] == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(workspace: Workspace, damage: str) -> None:
    change, check = DAMAGES[damage]
    change(workspace)
    assert check in found_by(workspace)


def test_leftovers_are_told_but_are_no_problem(workspace: Workspace) -> None:
    run = find_run_dir(workspace, "adapt-docs-r0.25-p45-xs")
    run.checkpoint("resume").mkdir(parents=True)
    (run.checkpoint("resume") / "state.pt").write_bytes(b"x" * 100)
    run.checkpoint("atpp99").mkdir()
    (run.path / "mine.txt").touch()
    old = workspace.root / ".workspace.json.999999.0123abcd.tmp"
    old.touch()
    os.utime(old, (0, 0))
    assert found_by(workspace) == {}
    assert set(found_by(workspace, "info")) == {"no files are left over", "all files are known"}
    assert "atpp99" in found_by(workspace, "warning")["checkpoints are of states"]


def test_a_database_that_is_none_is_the_one_finding(workspace: Workspace) -> None:
    workspace.database_path.write_bytes(b"no database" * 100)
    ((name, (finding,)),) = run_checks(workspace)
    assert name == READABLE
    assert "odyssey store rebuild" in finding.hint
