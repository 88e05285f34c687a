"""``odyssey audit``: files without a workspace, an experiment's texts, every form of the tables, mistakes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from odyssey_tui.cli.several import repeat_option
from odyssey_tui.services.audit import ppl_factor
from store.workspace import Workspace
from tests.support.audit_texts import make_documents, strip_lines
from tests.support.tiny import write_experiment

STRIPPED = ("--train", "stripped.jsonl", "--eval", "test.jsonl")
CLEAN = ("--train", "train.jsonl", "--eval", "test.jsonl")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clean training text, the same stripped, and evaluation text."""
    folder = tmp_path_factory.mktemp("texts")
    train = make_documents(1)
    written = {"train": train, "stripped": [strip_lines(text) for text in train], "test": make_documents(2, 20)}
    for name, documents in written.items():
        lines = (json.dumps({"text": text}) + "\n" for text in documents)
        (folder / f"{name}.jsonl").write_text("".join(lines))
    (folder / "empty.txt").touch()
    return folder


@pytest.fixture
def there(texts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(texts)
    return texts


def call(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[str, str]:
    assert run(["audit", *arguments]) == status
    return capsys.readouterr()


def test_text_fits_80_columns_and_tells_assumed_from_measured(there: Path, capsys) -> None:
    out, _ = call(capsys, *STRIPPED)
    assert max(map(len, out.splitlines())) <= 80
    assert "✗ serious: the line end is" in out
    assert "nats (assumed)" in " ".join(out.split())
    assert "measured" not in out
    assert "without a tokenizer" in out
    assert "\x1b" not in out
    assert not list(there.glob("odyssey-workspace"))


def test_clean_text_has_no_warnings_and_strict_lets_it_pass(there: Path, capsys) -> None:
    out, _ = call(capsys, *CLEAN, "--strict")
    assert "✗" not in out
    assert "! caution" not in out
    call(capsys, *STRIPPED, "--strict", status=Exit.FAILED)


def test_json_holds_everything_with_factors(there: Path, capsys) -> None:
    (found,) = json.loads(call(capsys, *STRIPPED, "--json")[0])
    finding = found["findings"][0]
    assert finding["token_class"] == "newline"
    assert [row["delta"] for row in finding["effect"]] == [1, 3, 5]
    assert finding["effect"][2]["ppl_factor"] == pytest.approx(ppl_factor(finding["share"], 5))
    assert finding["measured"] is None
    assert found["overlap"]["contained"] == 0
    assert {"train", "evaluation", "classes", "types"} <= found.keys()


@pytest.mark.parametrize("table", ["pairs", "classes", "types", "findings", "facts"])
def test_every_table_is_csv_latex_and_text(there: Path, capsys, table: str) -> None:
    rows = list(csv.DictReader(io.StringIO(call(capsys, *STRIPPED, "--table", table, "--csv")[0])))
    assert rows
    assert all(row["audit"] == "stripped.jsonl → test.jsonl" for row in rows)
    latex = call(capsys, *STRIPPED, "--table", table, "--latex")[0]
    assert latex.count(r"\\") == len(rows) + 1
    text = call(capsys, *STRIPPED, "--table", table)[0]
    assert max(map(len, text.splitlines())) <= 80


def test_csv_without_a_choice_is_the_classes(there: Path, capsys) -> None:
    rows = {row["token_class"]: row for row in csv.DictReader(io.StringIO(call(capsys, *STRIPPED, "--csv")[0]))}
    assert rows["newline"]["train"] == "0"
    assert float(rows["newline"]["ratio"]) == 0
    shares = [float(row["evaluation_share"]) for row in rows.values()]
    assert sum(shares) == pytest.approx(1)


def test_several_files_a_side_in_a_row(there: Path, capsys) -> None:
    (one,) = json.loads(call(capsys, "--train", "train.jsonl", "stripped.jsonl", "--eval", "test.jsonl", "--json")[0])
    assert one["train"]["documents"] == 120
    assert one["train"]["repeats"]["exact"] == 60


def test_values_in_a_row_are_the_option_again() -> None:
    written = ["--train", "a", "b", "--json", "--eval=c", "d", "--train", "e", "--", "f"]
    assert list(repeat_option(written, ("--train",))) == [
        *("--train", "a", "--train", "b", "--json", "--eval=c", "d", "--train", "e", "--", "f"),
    ]


def test_an_experiment_is_audited_as_it_would_be_trained(tmp_path: Path, monkeypatch, capsys) -> None:
    path = write_experiment(tmp_path)
    path.write_text(path.read_text().replace("domain: poems,", "domain: poems, newlines: [keep, strip],"))
    monkeypatch.chdir(tmp_path)
    out, _ = call(capsys, "tiny.yaml")
    assert max(map(len, out.splitlines())) <= 80
    assert not (tmp_path / "odyssey-workspace").exists()
    levels = {row["audit"]: row["level"] for row in _pairs(capsys, "tiny.yaml")}
    assert levels["poems (stripped) → poems"] == "serious"
    assert levels["poems → poems"] in ("", "note")
    workspace = Workspace.create(tmp_path / "w")
    both = _pairs(capsys, "tiny.yaml", "-w", str(workspace.root), "--domain", "poems")
    assert [row["audit"] for row in both] == [
        *("poems → poems", "poems (stripped) → poems", "poems → base", "poems (stripped) → base"),
    ]
    assert len(list((workspace.cache / "audits").iterdir())) == 5
    plan, _ = _launch(capsys, workspace, "tiny.yaml", "--json")
    assert json.loads(plan)["audit"]["missing"] == 0
    assert json.loads(plan)["audit"]["findings"][0]["audits"] == ["poems (stripped) → poems"]
    _, said = _launch(capsys, workspace, "tiny.yaml")
    assert "format audit: 5 pairs of texts, 1 serious, 1 caution (odyssey audit tiny.yaml)" in " ".join(said.split())
    assert "serious: poems (stripped) → poems: the line end is" in " ".join(said.split())
    _, said = _launch(capsys, workspace, "tiny.yaml", "--set", "base.training.separator=none")
    assert "format audit: not audited yet" in said
    kept = _pairs(capsys, "tiny.yaml", "--set", "adapt.0.newlines=keep")
    assert all("stripped" not in row["audit"] for row in kept)
    _, err = call(capsys, "tiny.yaml", "--domain", "poem", status=Exit.DATA)
    assert "Did you mean 'poems'?" in err


def _launch(capsys, workspace: Workspace, *arguments: str) -> tuple[str, str]:
    assert run(["-w", str(workspace.root), "launch", *arguments, "--dry-run"]) == 0
    return capsys.readouterr()


def _pairs(capsys, *arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(call(capsys, *arguments, "--table", "pairs", "--csv")[0])))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), Exit.USAGE, "give an experiment, or --train"),
        (("--train", "train.jsonl"), Exit.USAGE, "no evaluation text"),
        (("demo", "--train", "train.jsonl"), Exit.USAGE, "give an experiment, or --train"),
        ((*CLEAN, "--set", "a=b"), Exit.USAGE, "--set does not go with files"),
        (("demo", "--tokenizer", "gpt2"), Exit.USAGE, "--tokenizer does not go with an experiment"),
        ((*CLEAN, "--base", "train.jsonl"), Exit.USAGE, "give a --tokenizer"),
        ((*CLEAN, "--json", "--csv"), Exit.USAGE, "exclude each other"),
        (("dmo",), Exit.USAGE, "Did you mean 'demo'?"),
        (("--train", "none.txt", "--eval", "test.jsonl"), Exit.DATA, "there is no file none.txt"),
        (("--train", "empty.txt", "--eval", "test.jsonl"), Exit.DATA, "empty.txt is empty"),
        ((*CLEAN, "--tokenizer", "./nowhere"), Exit.DATA, "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_message(there: Path, capsys, arguments: tuple[str, ...], status: int, words: str) -> None:
    out, err = call(capsys, *arguments, status=status)
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_the_same_file_on_both_sides_is_said(there: Path, capsys) -> None:
    out, _ = call(capsys, "--train", "test.jsonl", "--eval", "test.jsonl")
    assert "100 % duplicates" in " ".join(out.split())


def test_the_command_itself_stays_light(there: Path) -> None:
    told = "{'torch', 'transformers', 'tokenizers', 'engine.audit.scan', 'textual'} & {*sys.modules}"
    code = f"import sys; from odyssey_tui.cli.main import run; run(['audit', *{STRIPPED!r}, '--csv']); print({told})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
