"""``odyssey data``: the texts as a table in every form, the audits of one, and one message for a mistake."""

from __future__ import annotations

import csv
import io
import json

import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from store.workspace import Workspace


def call(capsys, workspace: Workspace, *arguments: str, status: int = 0) -> tuple[str, str]:
    assert run(["-w", str(workspace.root), "data", *arguments]) == status
    return capsys.readouterr()


@pytest.mark.parametrize("arguments", [(), ("docs",), ("docs", "--full"), ("docs", "--table", "findings")])
def test_text_fits_80_columns(voyage: Workspace, capsys, arguments: tuple[str, ...]) -> None:
    out, _ = call(capsys, voyage, *arguments)
    assert max(map(len, out.splitlines())) <= 80
    assert "✗ serious" in out or "serious" in out
    assert "\x1b" not in out


def test_every_form_has_the_same_rows(voyage: Workspace, capsys) -> None:
    found = json.loads(call(capsys, voyage, "--json")[0])
    rows = list(csv.DictReader(io.StringIO(call(capsys, voyage, "--csv")[0])))
    assert [row["name"] for row in rows] == [row["name"] for row in found]
    docs, record = rows[1], found[1]
    assert docs["name"] == record["name"] == "docs"
    assert float(docs["newline"]) == record["newline"] == 0
    assert float(docs["share_word"]) == record["classes"]["word"]
    assert docs["audit"] == record["audit"] == "serious"
    latex = call(capsys, voyage, "--latex")[0]
    assert latex.count(r"\\") == len(rows) + 1
    assert json.loads(call(capsys, voyage, "-f", "kind=set and audit=serious", "--json")[0])[0]["name"] == "docs"


def test_one_text_is_its_audit(voyage: Workspace, capsys) -> None:
    (found,) = json.loads(call(capsys, voyage, "docs", "--json")[0])
    assert found["findings"][0]["code"] == "class-absent"
    rows = list(csv.DictReader(io.StringIO(call(capsys, voyage, "docs", "--table", "types", "--csv")[0])))
    assert rows[0]["text"] == "\\n"
    assert "`newlines: keep`" in call(capsys, voyage, "docs")[0]


def test_an_empty_workspace_teaches(empty: Workspace, capsys) -> None:
    out, _ = call(capsys, empty)
    assert "no texts yet" in out
    assert call(capsys, empty, "--csv")[0].startswith("kind,title,audit,")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("dcos",), Exit.DATA, "Did you mean 'docs'?"),
        (("tables",), Exit.DATA, "has no format audit"),
        (("docs", "-f", "kind=set"), Exit.USAGE, "--filter belongs to the list"),
        (("--full",), Exit.USAGE, "--full belongs to the audits"),
        (("--table", "types"), Exit.USAGE, "--table belongs to the audits"),
        (("-f", "kin=set"), Exit.USAGE, "there is no key 'kin'"),
        (("--json", "--csv"), Exit.USAGE, "exclude each other"),
    ],
)
def test_a_mistake_is_one_message(
    voyage: Workspace, capsys, arguments: tuple[str, ...], status: int, words: str
) -> None:
    out, err = call(capsys, voyage, *arguments, status=status)
    assert out == ""
    assert words in err
