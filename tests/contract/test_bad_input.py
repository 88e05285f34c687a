"""Whatever is wrong with the input: one message that says what, where and what to do, no traceback, and a next start.

Everything here is the command as users run it, nearly always in a process of its own.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.launch.queue_state import queue_state
from odyssey_tui.cli.main import run
from store.workspace import Workspace
from tests.support.privileges import readonly_copy
from tests.support.tiny import EXPERIMENT, write_experiment

IMPORTED_WHEN_CALLED = (
    "engine.launch.requests",
    "engine.launch.scheduler",
    "engine.launch.slots",
    "engine.launch.submit",
    "engine.plan.estimate",
    "engine.spec.load",
    "pynvml",
    "store.space",
)
ODYSSEY = (sys.executable, "-m", "odyssey_tui")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_experiment(tmp_path)


def odyssey(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command without a terminal, on one slot and one thread."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ODYSSEY_SLOTS": "1"}
    return subprocess.run(
        [*ODYSSEY, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )


def refuse(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command failed with one message of a sentence and a hint, which hold ``words``, and printed nothing else."""
    assert done.returncode in (1, 2, 3, 4), done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert len(done.stderr.splitlines()) == 2
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("context: 32", "contxt: 32", ("tiny.yaml:10: base.contxt is not a known key", "Did you mean context?")),
        ("context: 32", "context: wide", ("tiny.yaml:10: base.context must be a whole number, not 'wide'",)),
        ("replay_ratio: 0", "replay_ratio: 1.5", ("tiny.yaml:14: adapt.0.replay_ratio is 1.5", "at most 1")),
        ("replay_ratio: 0", "replay_ratio: -0.1", ("tiny.yaml:14: adapt.0.replay_ratio is -0.1", "at least 0")),
        ("poems.jsonl", "poem.jsonl", ("tiny.yaml:5: corpora.poems.source", "Did you mean poems.jsonl?")),
        ("domain: poems", "domain: poem", ("tiny.yaml:14: adapt.0.domain = poem", "Did you mean poems?")),
        ("  context: 32", "\tcontext: 32", ("tiny.yaml:10: not valid YAML", "indentation")),
        (EXPERIMENT, "", ("tiny.yaml: the experiment is empty", "name, corpora and base")),
    ],
    ids=["unknown key", "wrong type", "ratio above", "ratio below", "missing corpus", "unknown domain", "tab", "empty"],
)
def test_a_wrong_configuration(config: Path, tmp_path: Path, old: str, new: str, words: tuple[str, ...]) -> None:
    assert old in EXPERIMENT
    config.write_text(EXPERIMENT.replace(old, new))
    refuse(odyssey("launch", config, "-w", tmp_path / "workspace"), *words)
    assert not (tmp_path / "workspace").exists()


def test_a_replay_ratio_outside_its_range_on_the_command_line(config: Path, tmp_path: Path) -> None:
    done = odyssey("launch", config, "--dry-run", "--json", "--set", "adapt.0.replay_ratio=2", "-w", tmp_path / "new")
    refuse(done, "--set adapt.0.replay_ratio=2", "at most 1")


def test_a_missing_file(tmp_path: Path) -> None:
    refuse(odyssey("launch", tmp_path / "voyage.yaml", "-w", tmp_path / "new"), "voyage.yaml: no such file")


def test_a_folder_that_is_no_workspace_and_a_file_that_is_none(config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for command in ("launch", config), ("demo", "--headless"):
        refuse(odyssey(*command, "-w", tmp_path), "not an odyssey workspace", "'base.jsonl'", "--workspace DIR")
        refuse(odyssey(*command, "-w", config), f"{config} is a file", "--workspace DIR")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", [("demo", "--headless"), ("launch", "demo"), ("pause",)])
def test_a_workspace_that_is_not_writable(capsys, command: tuple[str, ...]) -> None:
    # In this process, which drops its rights: the interpreter may lie where others can neither run it nor import.
    assert run([*command, "--help"]) == 0
    for module in IMPORTED_WHEN_CALLED:
        importlib.import_module(module)
    capsys.readouterr()
    with readonly_copy(Workspace.create) as folder:
        status = run([*command, "-w", str(folder)])
    told = capsys.readouterr()
    done = subprocess.CompletedProcess(command, status, told.out, told.err)
    refuse(done, f"cannot write {folder}", "Permission denied", "permissions")


@pytest.mark.parametrize("arguments", [(), ("demo",)])
def test_a_terminal_that_is_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refuse(odyssey(*arguments, "-w", tmp_path / "new"), "needs a terminal", "as text")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace whose scheduler is told to leave afterwards."""
    found = Workspace.create(tmp_path / "workspace")
    yield found
    if (pid := queue_state(found).scheduler_pid) is not None:
        os.kill(pid, signal.SIGTERM)


def prepare(workspace: Workspace, config: Path) -> str:
    """Launch, wait for the run that prepares the texts, and show it."""
    assert odyssey("launch", config, "-w", workspace.root).returncode == 0
    (run_id,) = (name for name in workspace.run_ids() if name.startswith("prepare"))
    odyssey("logs", "--follow", run_id, "-w", workspace.root)
    shown = odyssey("show", run_id, "-w", workspace.root)
    assert shown.returncode == 0
    assert "Traceback" not in shown.stdout
    return shown.stdout


@pytest.mark.slow
def test_texts_that_cannot_be_used_and_then_ones_that_can(workspace: Workspace, config: Path) -> None:
    poems = config.with_name("poems.jsonl")
    good = poems.read_text()
    cases = (
        ("", ("failed", "corpus 'poems': no readable text", "empty")),
        ('{"text": "a"}\n{"text": \n', ("failed", "poems.jsonl:2 is no valid JSON", "one JSON object per line")),
        (
            "".join(f'{{"text": "line {number}"}}\n' for number in range(12)),
            ("failed", "shorter than one window of 32 tokens", "more text"),
        ),
    )
    # The same experiment every time: launching again is how it goes on.
    for text, words in cases:
        poems.write_text(text)
        shown = prepare(workspace, config)
        for word in words:
            assert word in shown
    poems.write_text(good)
    assert re.match(r"prepare +✓ done", prepare(workspace, config))


def test_ctrl_c_at_any_moment_of_a_launch_and_then_again(config: Path, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    Workspace.create(root)
    # Nothing shall start: the queue is paused.
    (root / "queue" / "paused").write_text('{"reason": "a test", "since": 0}')
    trace = "import sys, os, signal; from odyssey_tui.cli.main import run; " + (
        "sys.addaudithook(lambda event, args, seen=[]: (event == 'os.rename' and (seen.append(1) or len(seen) == {at})"
        " and os.kill(os.getpid(), signal.SIGINT))); sys.exit(run(['launch', {config!r}, '-w', {root!r}]))"
    )
    for at in (1, 2, 5):
        code = trace.format(at=at, config=str(config), root=str(root))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 130, done.stderr
        assert done.stderr.strip() == "interrupted"
    done = odyssey("launch", config, "-w", root)
    assert done.returncode == 0, done.stderr
    assert sorted(path.stem for path in (root / "queue" / "tickets").iterdir()) == Workspace.open(root).run_ids()
    if (pid := queue_state(Workspace.open(root)).scheduler_pid) is not None:
        os.kill(pid, signal.SIGTERM)
