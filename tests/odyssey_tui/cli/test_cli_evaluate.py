"""``odyssey evaluate`` as users call it: without a workspace, in a process of its own, one message for an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.data.tokenizer import load_tokenizer
from engine.spec.run import Corpus, Tokenizer
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from store.workspace import Workspace
from tests.support.states import save_tiny_state

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One with a saved state ``ptpp2`` of run ``pretrain-a``, and none of a run ``pretrain-b``."""
    folder = tmp_path_factory.mktemp("cli-evaluate")
    (folder / "text.txt").write_text("the ship left the island and the wind had turned\n" * 2000)
    spec = Tokenizer(train_on=(Corpus(name="text", source=str(folder / "text.txt"), test_share=0),), vocab_size=300)
    workspace = Workspace.create(folder / "workspace")
    save_tiny_state(workspace, load_tokenizer(spec, workspace), "pretrain-a", "ptpp2")
    (workspace.runs / "pretrain-b").mkdir()
    return workspace


@pytest.fixture
def text(workspace: Workspace) -> Path:
    return workspace.root.parent / "text.txt"


def odyssey(*arguments: str | Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "odyssey_tui", "evaluate", *map(str, arguments))


def test_numbers_on_stdout_talk_on_stderr(workspace: Workspace, text: Path, tmp_path: Path) -> None:
    state = workspace.run("pretrain-a").checkpoint("ptpp2")
    common = ("--model", state, "--text", text, text, "--scheme", "strided", "--window", 64, "--stride", 32)
    done = subprocess.run(
        odyssey(*common, "--per-token", tmp_path / "out.parquet", "--json"),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [file["file"] for file in result["files"]] == [str(text)] * 2
    assert result["total"]["predicted"] == result["total"]["tokens"] - 2
    assert result["files"][0]["loss"] == pytest.approx(result["total"]["loss"])
    assert pq.read_table(tmp_path / "out.parquet").num_rows == result["total"]["tokens"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_state_of_a_run_as_a_table(workspace: Workspace, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "-w", str(workspace.root), "--model", "pretrain-a@ptpp2", "--text", str(text)]
    assert run(arguments) == Exit.OK
    out = capsys.readouterr().out
    assert "pretrain-a@ptpp2: blocks, window 64, fp32 on cpu" in out
    assert "M2D2's script" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (
            (
                "--model",
                "M",
            ),
            Exit.USAGE,
            ("no text", "--text FILE"),
        ),
        (("--text", "T"), Exit.USAGE, ("--model",)),
        (("--model", "M", "--text", "T", "--scheme", "strided"), Exit.USAGE, ("--stride",)),
        (("--model", "M", "--text", "T", "--stride", "4"), Exit.USAGE, ("--stride belongs to --scheme strided",)),
        (("--model", "M", "--text", "T", "--window", "0"), Exit.USAGE, ("--window",)),
        (("--model", "M", "--text", "T", "--sheme", "blocks"), Exit.USAGE, ("--scheme",)),
        (("--model", "M", "--text", "none.txt"), Exit.DATA, ("no file none.txt",)),
        (("--model", "M", "--text", "latin.txt"), Exit.DATA, ("not UTF-8", "byte 1", "iconv")),
        (("--model", "M", "--text", "empty.txt"), Exit.DATA, ("holds no text",)),
        (("--model", "a/b@main", "--text", "T"), Exit.DATA, ("--model a/b --revision main",)),
        (("--model", "pretrain-x@ptpp2", "--text", "T"), Exit.DATA, ("no run 'pretrain-x'", "Did you mean 'pretrain-")),
        (("--model", "pretrain@ptpp2", "--text", "T"), Exit.DATA, ("2 runs begin with",)),
        (("--model", "pretrain-a@ptp2", "--text", "T"), Exit.DATA, ("no saved state 'ptp2'", "'ptpp2'")),
        (("--model", "pretrain-b@ptpp2", "--text", "T"), Exit.DATA, ("no saved state", "none (yet)")),
        (("--model", "pretrain-a", "--text", "T"), Exit.DATA, ("is run pretrain-a, not", "pretrain-a@STATE")),
        (("--model", "pretrain", "--text", "T"), Exit.DATA, ("is 2 runs, not", "pretrain@STATE")),
        (("--model", ".", "--text", "T", "--revision", "v1"), Exit.DATA, (". has no revisions", "--revision out")),
        (("--model", "M", "--text", "T", "--per-token", "no/out.parquet"), Exit.FAILED, ("cannot write no/out",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_input_is_one_message(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("où".encode("latin-1"))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "T").write_text("text")
    assert run(["evaluate", "-w", str(workspace.root), *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error: ") == 1
    assert len(err.splitlines()) == 2
    for word in words:
        assert word in err


def test_the_command_itself_stays_light(tmp_path: Path) -> None:
    call = f"run(['evaluate', '--model', 'M', '--text', {str(tmp_path / 'none.txt')!r}])"
    told = "{'torch', 'transformers'} & {*sys.modules}"
    code = f"import sys; from odyssey_tui.cli.main import run; {call}; print({told})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "there is no file" in done.stderr
    assert done.stdout == "set()\n"


def test_an_interrupt_ends_both_processes_and_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    fifo = tmp_path / "text.txt"
    os.mkfifo(fifo)
    state = workspace.run("pretrain-a").checkpoint("ptpp2")
    process = subprocess.Popen(
        odyssey("--model", state, "--text", fifo),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    # Opens once the evaluating process reads its text, which then never ends.
    with open(fifo, "w"):
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == Exit.INTERRUPTED
    assert (out, err.strip()) == ("", "interrupted")
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
