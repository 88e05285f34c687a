"""``odyssey drift`` of two models: in a process of its own, without a workspace; and every mistake in one message."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.models.load import load_model
from engine.spec.run import Corpus, Model, Tokenizer
from odyssey_tui.cli.drift import print_report
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from odyssey_tui.services.drift import from_result
from store.workspace import Workspace
from tests.support.drift_results import make_result
from tests.support.states import save_tiny_state
from tests.support.synthetic_drift import HIDDEN_SHARE, write_drift

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
WORDS = "the ship left the island and the wind had turned\n"


def make_tokenizer(folder: Path, workspace: Workspace, size: int) -> LoadedTokenizer:
    spec = Tokenizer(train_on=(Corpus(name="text", source=str(folder / "text.txt"), test_share=0),), vocab_size=size)
    return load_tokenizer(spec, workspace)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text; a workspace with a state; folders ``adapted`` (its last norm changed) and ``foreign`` (other tokens)."""
    folder = tmp_path_factory.mktemp("cli-drift")
    (folder / "text.txt").write_text(WORDS * 300)
    workspace = Workspace.create(folder / "workspace")
    state = save_tiny_state(workspace, make_tokenizer(folder, workspace, 300), "pretrain-a", "ptpp2")
    adapted = load_model(Model(source=str(state)), workspace)
    with torch.no_grad():
        adapted.transformer.ln_f.weight.mul_(torch.linspace(0.5, 2.0, adapted.config.n_embd))
    shutil.copytree(state, folder / "adapted", ignore=shutil.ignore_patterns("odyssey.json"))
    adapted.save_pretrained(folder / "adapted")
    foreign = save_tiny_state(workspace, make_tokenizer(folder, workspace, 280), "pretrain-b", "ptpp2")
    shutil.move(foreign, folder / "foreign")
    return folder


def odyssey(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "odyssey_tui", "drift", *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder, timeout=120)


def test_two_models_on_a_text_as_json(folder: Path) -> None:
    state = folder / "workspace" / "runs" / "pretrain-a" / "checkpoints" / "ptpp2"
    done = odyssey(folder, "--before", state, "--after", "adapted", "--text", "text.txt", "text.txt", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["model_before"], found["model_after"]) == (str(state), "adapted")
    assert found["on"] == "text.txt, text.txt"
    assert found["scheme"]["window"] == 64
    assert found["tied"]
    # Only the last norm changed: no embedding moved, and all of the change is the hidden states'.
    assert found["input_drift"] == 0
    assert found["from_output"] == pytest.approx(0, abs=1e-9)
    assert found["from_hidden"] == pytest.approx(found["loss_after"] - found["loss_before"])
    assert abs(found["change"]) > 1e-3
    assert len(found["types"]) == min(20, found["n_types"])
    assert not list(folder.glob("odyssey-*"))


def test_a_state_of_a_run_as_a_table_that_fits(folder: Path) -> None:
    arguments = ("-w", "workspace", "--before", "pretrain-a@ptpp2", "--after", "adapted", "--text", "text.txt")
    done = odyssey(folder, *arguments, "--max-tokens", "700", "--top", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "pretrain-a@ptpp2 → adapted"
    assert max(map(len, lines)) <= 80
    text = " ".join(done.stdout.split())
    assert "over 693 positions of " in text
    assert "the embeddings (one matrix for input and output) not at all" in text
    (head,) = [line for line in lines if line.startswith("#")]
    assert head.split()[-3:] == ["cos", "h", "Δe"]
    assert "Δw" not in done.stdout


def test_other_forms_have_what_the_text_has(capsys: pytest.CaptureFixture[str]) -> None:
    report = from_result(make_result())
    forms = {"json": False, "csv": False, "latex": False}
    print_report(report, top=2, **{**forms, "csv": True})
    head, *rows = capsys.readouterr().out.splitlines()
    assert {"token_id", "order_gap", "output_cosine", "output_drift"} <= set(head.split(","))
    assert [len(rows), rows[0].split(",")[1]] == [2, r"\n"]
    print_report(report, top=2, **{**forms, "latex": True})
    assert capsys.readouterr().out.startswith(r"\begin{tabular}")
    print_report(report, top=2, **forms)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "Δw: its output embedding" in " ".join(out.split())


def test_different_tokenizers_are_refused(folder: Path) -> None:
    done = odyssey(folder, "--before", "adapted", "--after", "foreign", "--text", "text.txt")
    assert done.returncode == Exit.DATA
    assert "adapted and foreign have different tokenizers, of 287 and 280 tokens" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), Exit.USAGE, ("an adapted RUN, or two models",)),
        (("--before", "adapted"), Exit.USAGE, ("--before MODEL --after MODEL",)),
        (("--before", "adapted", "--after", "adapted"), Exit.USAGE, ("no text", "--text FILE")),
        (("--before", "adapted", "--after", "adapted", "--text", "none.txt"), Exit.DATA, ("no file none.txt",)),
        (("--before", "adapted", "--after", "adapted", "--text", "text.txt", "--here"), Exit.USAGE, ("--here",)),
        (("--before", "adapted", "--after", "pretrain-a", "--text", "text.txt"), Exit.DATA, ("pretrain-a@STATE",)),
        (("--before", "adapted", "--after", "pretrain-a@no", "--text", "text.txt"), Exit.DATA, ("no saved state",)),
        (("--before", "adapted", "--after", "adapted", "--text", "text.txt", "--window", "99"), 2, ("context of 64",)),
        (("pretrain-a", "--window", "9"), Exit.USAGE, ("--window belongs to --before and --after",)),
        (("pretrain-a", "--text", "text.txt"), Exit.USAGE, ("--text belongs to",)),
        (("pretrain-a", "other"), Exit.USAGE, ("one RUN at a time",)),
        (("pretrain-a", "--json", "--csv"), Exit.USAGE, ("exclude each other",)),
        (("nobody",), Exit.FAILED, ("no run is called 'nobody'",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_mistakes_are_one_message(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(folder)
    assert run(["drift", "-w", "workspace", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error: ") == 1
    for word in words:
        assert word in err


def test_without_a_workspace_a_run_cannot_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drift", "-w", str(tmp_path / "none"), "adapt-x"]) == Exit.WORKSPACE
    assert "none" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_ledger_has_the_columns_of_a_drift_where_there_is_one(
    own_voyage: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def tokens(*arguments: str) -> str:
        assert run(["tokens", "-w", str(own_voyage.root), adapted, *arguments]) == 0
        return capsys.readouterr().out

    adapted = next(name for name in own_voyage.run_ids() if name.startswith("adapt-docs-r0.25-p45-s-"))
    plain, table, found = tokens(), tokens("--csv"), json.loads(tokens("--json"))
    assert found["drift"] is None
    assert "hidden" not in plain
    run_id = write_drift(own_voyage, adapted, found["before_id"], found["after_id"])
    lines = tokens("--top", "4").splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("#") and line.split()[-2:] == ["hidden", "Δh"] for line in lines)
    assert "(`odyssey drift` has all of it)" in " ".join(lines)
    drifted, with_columns = json.loads(tokens("--json")), tokens("--csv")
    assert drifted["drift"]["run_id"] == run_id
    assert drifted["drift"]["change"] == pytest.approx(drifted["delta"], abs=1e-6)
    for row, before in zip(drifted["types"], found["types"], strict=True):
        assert {name: row[name] for name in before} == before
        assert row["from_hidden"] == pytest.approx(HIDDEN_SHARE * row["contribution"], abs=1e-9)
    assert (
        with_columns.splitlines()[0]
        == f"{table.splitlines()[0]},from_hidden,from_output,hidden_drift,hidden_cosine,input_drift,output_drift"
    )
    assert tokens("--set", "base").count("hidden") == 0
