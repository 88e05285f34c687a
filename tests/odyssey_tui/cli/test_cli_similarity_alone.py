"""``odyssey similarity --reference`` as users call it: files only, numbers on stdout, one message for an error."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.data.tokenizer import load_tokenizer
from engine.spec.run import Corpus, Tokenizer
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from store.workspace import Workspace
from tests.support.resembling import write_texts
from tests.support.states import save_tiny_state

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
QUICK = ("--samples", "64", "--sample-tokens", "16", "--bootstrap", "40")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``base.jsonl``, ``near.jsonl``, ``far.jsonl``."""
    path = tmp_path_factory.mktemp("resembling")
    write_texts(path)
    return path


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def similarity(*arguments: str) -> int:
    return run(["similarity", *arguments])


def test_numbers_on_stdout_and_nothing_is_made(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    command = [sys.executable, "-m", "odyssey_tui", "similarity", "--reference", "base.jsonl", *QUICK, "--json"]
    done = subprocess.run(
        [*command, "--domain", "near=near.jsonl", "far=far.jsonl", "--measure", "jsd,mmd2"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(row["measure"], row["domain"]) for row in result["rows"]] == [
        ("jsd", "near"),
        ("jsd", "far"),
        ("mmd2", "near"),
        ("mmd2", "far"),
    ]
    assert set(result["rows"][0]) >= {"embedder", "encoder", "value", "low", "high", "n_samples", "higher_is_closer"}
    assert result["settings"]["samples"] == 64
    assert {"odyssey-tui", "numpy", "torch"} <= set(result["versions"])
    assert result["correlations"] == []
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_table_of_each_measure_and_what_goes_with_it(folder: Path, tmp_path: Path, capsys) -> None:
    delta = tmp_path / "delta.csv"
    delta.write_text("domain,delta\nnear,0.1\nfar,-0.3\nbase,0.2\n")
    arguments = ("--reference", "base.jsonl", "--domain", "near=near.jsonl", "far=far.jsonl", "base=base.jsonl")
    assert similarity(*arguments, *QUICK, "--measure", "jsd", "cosine", "--delta", str(delta)) == Exit.OK
    out, err = capsys.readouterr()
    assert "Reference: base (40 documents). 64 samples of 16 tokens (words, numbers and" in out
    assert "jsd · tokens: lower is closer" in out
    assert "cosine · ngrams, pieces: higher is closer" in out
    assert "jsd · tokens     r = " in out
    assert "n = 3" in out
    assert "base shares 40 of its 40 documents with the reference" in err
    assert max(map(len, out.splitlines())) <= 80


def test_one_domain_has_a_value_and_no_correlation(tmp_path: Path, capsys) -> None:
    delta = tmp_path / "delta.csv"
    delta.write_text("domain,delta\nnear,0.1\n")
    arguments = ("--reference", "base.jsonl", "--domain", "near=near.jsonl", *QUICK, "--measure", "jsd")
    assert similarity(*arguments, "--delta", str(delta)) == Exit.OK
    out = capsys.readouterr().out
    assert "jsd · tokens  no correlation: 1 point, three are the fewest" in out
    assert "\nnear" in out
    assert similarity(*arguments, "--delta", str(delta), "--json") == Exit.OK
    (correlation,) = json.loads(capsys.readouterr().out)["correlations"]
    assert correlation["pearson"]["reason"] == "1 point, three are the fewest"


def test_csv_and_latex_have_every_row(capsys) -> None:
    arguments = ("--reference", "base.jsonl", "--domain", "near=near.jsonl", "far=far.jsonl", *QUICK)
    assert similarity(*arguments, "--csv") == Exit.OK
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 8
    assert float(rows[0]["value"]) < float(rows[1]["value"])
    assert rows[0].keys() >= {"domain", "measure", "embedder", "encoder", "low", "high", "n_samples"}
    assert similarity(*arguments, "--measure", "jsd", "--latex") == Exit.OK
    assert r"\begin{tabular}" in capsys.readouterr().out


def test_a_state_of_a_run_with_its_losses_apart(folder: Path, tmp_path: Path, capsys) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    spec = Tokenizer(train_on=(Corpus(name="base", source=str(folder / "base.jsonl")),), vocab_size=300)
    save_tiny_state(workspace, load_tokenizer(spec, workspace), "pretrain-a", "ptpp2")
    arguments = ("-w", str(workspace.root), "--model", "pretrain-a@ptpp2", "--device", "cpu", *QUICK)
    assert similarity(*arguments, "--reference", "base.jsonl", "--domain", "near=near.jsonl") == Exit.OK
    out = capsys.readouterr().out
    assert "mmd2 · model, pretrain-a@ptpp2: lower is closer" in out
    assert "(of pretrain-a@ptpp2)" in " ".join(out.split())
    apart = out[out.index("zero_shot, apart") :]
    assert "ΔL contains minus this loss" in " ".join(apart.split())
    assert "is closer" not in apart


def test_help_shows_both_forms(capsys) -> None:
    assert similarity("--help") == Exit.OK
    out = capsys.readouterr().out
    assert "--experiment" in out
    assert "--reference FILE…" in out
    assert similarity("--reference", "x", "--help") == Exit.OK
    out = capsys.readouterr().out
    assert "--experiment" not in out
    assert "--delta FILE.csv" in out


REFERENCE = ("--reference", "base.jsonl")
DOMAIN = ("--domain", "near=near.jsonl")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--reference", "base.jsonl"), Exit.USAGE, ("--domain",)),
        (DOMAIN, Exit.USAGE, ("--reference",)),
        ((*REFERENCE, "--domain", "near.jsonl"), Exit.USAGE, ("no NAME", "--domain near=near.jsonl")),
        ((*REFERENCE, *DOMAIN, "near=far.jsonl"), Exit.USAGE, ("near is given twice",)),
        ((*REFERENCE, *DOMAIN, "--measure", "jds"), Exit.USAGE, ("no measure 'jds'", "Did you mean jsd?")),
        ((*REFERENCE, *DOMAIN, "--embedder", "modle"), Exit.USAGE, ("no embedder 'modle'", "Did you mean model?")),
        ((*REFERENCE, *DOMAIN, "--embedder", "model"), Exit.USAGE, ("needs a model", "--model")),
        ((*REFERENCE, *DOMAIN, "--sentence-model", "x"), Exit.USAGE, ("belongs to --embedder sentence",)),
        ((*REFERENCE, *DOMAIN, "--revision", "x"), Exit.USAGE, ("belongs to --model",)),
        ((*REFERENCE, *DOMAIN, "--smaples", "9"), Exit.USAGE, ("--smaples", "--samples")),
        (("--referense", "base.jsonl"), Exit.USAGE, ("--referense", "--reference")),
        ((*REFERENCE, *DOMAIN, "--samples", "0"), Exit.USAGE, ("--samples",)),
        ((*REFERENCE, *DOMAIN, "--json", "--csv"), Exit.USAGE, ("exclude each other",)),
        ((*REFERENCE, *DOMAIN, "--sample-tokens", "9000"), Exit.DATA, ("too little text", "similarity needs 8")),
        (("--reference", "none.txt", *DOMAIN), Exit.DATA, ("no file none.txt",)),
        ((*REFERENCE, "--domain", "x=none/*.txt"), Exit.DATA, ("no file none/*.txt",)),
        ((*REFERENCE, "--domain", "x=empty.txt"), Exit.DATA, ("empty.txt: no text",)),
        ((*REFERENCE, "--domain", "x=latin.txt"), Exit.DATA, ("not UTF-8", "iconv")),
        ((*REFERENCE, *DOMAIN, "--delta", "none.csv"), Exit.DATA, ("cannot read none.csv",)),
        ((*REFERENCE, *DOMAIN, "--model", "nope"), Exit.DATA, ("nope",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_input_is_one_message(
    folder: Path,
    capsys,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    status: int,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (folder / "latin.txt").write_bytes("où".encode("latin-1"))
    (folder / "empty.txt").touch()
    assert similarity(*arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error: ") == 1
    assert len(err.splitlines()) == 2
    for word in words:
        assert word in err


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="it is installed")
def test_a_missing_library_comes_with_how_to_install_it(capsys) -> None:
    assert similarity(*REFERENCE, *DOMAIN, "--embedder", "sentence") == Exit.USAGE
    assert "pip install 'odyssey-tui[sentence]'" in capsys.readouterr().err


def test_the_command_itself_stays_light(folder: Path) -> None:
    call = f"run(['similarity', *{[*REFERENCE, *DOMAIN, *QUICK, '--measure', 'jsd', '--json']!r}])"
    told = "{'torch', 'transformers', 'scipy', 'engine.similarity'} & {*sys.modules}"
    code = f"import sys; from odyssey_tui.cli.main import run; {call}; print({told}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=folder, env=ENVIRONMENT
    )
    assert json.loads(done.stdout)["rows"]
    assert done.stderr == "set()\n"
