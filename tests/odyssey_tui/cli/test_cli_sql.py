"""``odyssey sql``: answers from the whole database, and nothing is changed by a question."""

from __future__ import annotations

import io
import json
import sys

import pytest

from odyssey_tui.cli.main import run
from store.workspace import Workspace


def ask(workspace: Workspace, *arguments: str) -> int:
    return run(["-w", str(workspace.root), "sql", *arguments])


def test_an_answer_in_every_form(fitted: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    statement = "SELECT kind, count(*) AS n FROM runs WHERE kind = 'fit' GROUP BY kind"
    n_fits = sum(fitted.run(run_id).spec()["job"]["kind"] == "fit" for run_id in fitted.run_ids())
    assert n_fits
    assert ask(fitted, statement, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"kind": "fit", "n": n_fits}]
    assert ask(fitted, statement, "--csv") == 0
    assert capsys.readouterr().out == f"kind,n\nfit,{n_fits}\n"
    assert ask(fitted, statement) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["kind", "n"], ["fit", str(n_fits)]]


def test_a_statement_may_be_piped_in(
    fitted: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1 AS one;\n"))
    assert ask(fitted, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"one": 1}]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("SELECT * FROM runz", 'Did you mean "runs"'),
        ("SELEC 1", "syntax error"),
        ("DELETE FROM runs", "would change the database"),
        ("DROP TABLE runs", "would change the database"),
    ],
)
def test_what_cannot_be_answered_is_told_and_changes_nothing(
    fitted: Workspace, capsys: pytest.CaptureFixture[str], statement: str, told: str
) -> None:
    count = "SELECT count(*) AS n FROM runs"
    assert ask(fitted, count, "--json") == 0
    before = capsys.readouterr().out
    assert ask(fitted, statement) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "Traceback" not in err
    assert ask(fitted, count, "--json") == 0
    assert capsys.readouterr().out == before
