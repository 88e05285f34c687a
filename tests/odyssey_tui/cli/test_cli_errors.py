"""Every way to fail: one message, the right exit status, no traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from store.errors import DataError
from store.workspace import Workspace
from tests.support.privileges import closed_folder


def odyssey(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "odyssey_tui", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        **options,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), Exit.USAGE, ("needs a terminal", "odyssey runs")),
        (("demo",), Exit.USAGE, ("needs a terminal", "--headless")),
        (("rusn",), Exit.USAGE, ("no command 'rusn'", "'runs'")),
        (("runs", "--fliter", "x"), Exit.USAGE, ("--fliter", "--filter")),
        (("runs", "--json", "--csv"), Exit.USAGE, ("exclude each other",)),
        (("runs", "-f", "stat=done"), Exit.USAGE, ("column 1", "'stat'", "'state'")),
        (("show", "nothing-like-it"), Exit.FAILED, ("nothing-like-it", "odyssey runs")),
        (("show",), Exit.USAGE, ("RUN",)),
        (("launch", "dem"), Exit.USAGE, ("no experiment 'dem'", "'demo'")),
        (("launch", "missing.yaml"), Exit.USAGE, ("missing.yaml", "no such file")),
        (("launch", "demo", "--dry-run", "--set", "adapt.0.replay_ratio=2"), Exit.USAGE, ("replay_ratio", "at most 1")),
        (("launch", "demo", "--dry-run", "--set", "sedes=1"), Exit.USAGE, ("sedes", "seeds")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_errors_are_one_message(voyage, arguments: tuple[str, ...], status: int, words: tuple[str, ...]) -> None:
    done = odyssey("-w", str(voyage.root), *arguments)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_no_workspace_is_a_workspace_error(tmp_path: Path) -> None:
    done = odyssey("runs", "--workspace", str(tmp_path / "none"))
    assert done.returncode == Exit.WORKSPACE
    assert "not an odyssey workspace" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_folder_of_something_else_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    done = odyssey("launch", "demo", "-w", str(tmp_path))
    assert done.returncode == Exit.WORKSPACE
    assert "thesis.tex" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("arguments", [("runs",), ("launch", "demo"), ("launch", "demo", "--dry-run"), ("pause",)])
def test_a_workspace_behind_a_closed_door(capsys, arguments: tuple[str, ...]) -> None:
    with closed_folder() as folder:
        assert run([*arguments, "-w", str(folder / "workspace")]) == Exit.WORKSPACE
    message = capsys.readouterr().err
    assert str(folder) in message
    assert "Permission denied" in message


def test_the_workspace_may_stand_before_or_after_or_in_the_environment(voyage) -> None:
    root = str(voyage.root)
    before = odyssey("-w", root, "runs", "--csv")
    after = odyssey("runs", "--csv", "--workspace", root)
    variable = odyssey("runs", "--csv", env={**os.environ, "ODYSSEY_WORKSPACE": root})
    assert before.returncode == after.returncode == variable.returncode == 0
    assert before.stdout == after.stdout == variable.stdout
    assert len(before.stdout.splitlines()) == 26


def test_the_later_workspace_wins(voyage, tmp_path: Path) -> None:
    assert odyssey("-w", str(tmp_path / "none"), "queue", "-w", str(voyage.root)).returncode == 0


def test_a_reader_that_leaves_early_is_no_error(voyage) -> None:
    command = f"{sys.executable} -m odyssey_tui -w {voyage.root} runs --json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode in (Exit.OK, Exit.BROKEN_PIPE)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        (">&-", Exit.OK, ""),
        ("<&- >&- 2>&-", Exit.OK, ""),
        pytest.param(
            "> /dev/full",
            Exit.FAILED,
            "error: cannot write the output: No space left on device\n  Free some space.\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device"),
        ),
    ],
)
@pytest.mark.parametrize("arguments", ["runs --json", "runs --csv", "--help"])
def test_streams_that_take_nothing(voyage, arguments: str, redirection: str, status: int, message: str) -> None:
    command = f"{sys.executable} -m odyssey_tui -w {voyage.root} {arguments} {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stderr == message


def test_ctrl_c_ends_quietly(own_voyage: Workspace) -> None:
    command = [sys.executable, "-m", "odyssey_tui", "-w", str(own_voyage.root), "logs", "-f", "adapt-docs-r0-p5-xs"]
    console = own_voyage.run(find(own_voyage, "adapt-docs-r0-p5-xs")).attempt(1).console
    console.write_text("step 1\n")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "step 1\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == Exit.INTERRUPTED
    assert errors.strip() == "interrupted"


def find(workspace: Workspace, name: str) -> str:
    """The run of this name."""
    return next(run_id for run_id in workspace.run_ids() if run_id.startswith(name + "-"))


def test_a_bug_is_one_line_and_a_log(voyage, tmp_path: Path, monkeypatch, capsys) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("odyssey_tui.services.run_list.in_order", explode)
    assert run(["-w", str(voyage.root), "runs"]) == Exit.BUG
    message = capsys.readouterr().err
    log = Path(message.strip().rpartition(" ")[2])
    assert "Traceback" not in message
    assert len(message.splitlines()) == 2
    assert log.parent == tmp_path / "odyssey"
    assert "ZeroDivisionError: a bug" in log.read_text()


def test_errors_keep_their_exit_status(voyage, monkeypatch, capsys) -> None:
    def fail(*_: object) -> None:
        raise DataError("the shard is torn", "Delete it.")

    monkeypatch.setattr("odyssey_tui.services.run_list.in_order", fail)
    assert run(["-w", str(voyage.root), "runs"]) == Exit.DATA
    assert capsys.readouterr().err == "error: the shard is torn\n  Delete it.\n"


def test_a_dumb_terminal_is_no_terminal(voyage) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "odyssey_tui", "-w", str(voyage.root)]
    environment = {**os.environ, "TERM": "dumb"}
    done = subprocess.run(command, stdin=follower, stdout=follower, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(leader)
    os.close(follower)
    assert done.returncode == Exit.USAGE
    assert "needs a terminal" in done.stderr


def test_wrong_settings_name_file_and_key(voyage, tmp_path: Path) -> None:
    (tmp_path / "odyssey").mkdir()
    (tmp_path / "odyssey" / "settings.yaml").write_text("keys: {runs.opne: x}\n")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "odyssey_tui", "-w", str(voyage.root)]
    environment = {**os.environ, "TERM": "xterm", "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(command, stdin=follower, stdout=follower, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(leader)
    os.close(follower)
    assert done.returncode == Exit.USAGE
    assert "settings.yaml: there is no action 'runs.opne'" in done.stderr
    assert "runs.open" in done.stderr


@pytest.mark.parametrize("command", ["runs", "show", "logs", "launch", "queue", "cancel", "retry", "pause", "demo"])
def test_every_command_has_help(command: str) -> None:
    done = odyssey(command, "--help")
    assert done.returncode == 0
    assert "--workspace" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
