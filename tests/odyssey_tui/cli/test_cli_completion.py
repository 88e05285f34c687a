"""Completion of words, asked as shells ask, and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from odyssey_tui.cli import words
from odyssey_tui.cli.completion import INSTALL, VARIABLE
from odyssey_tui.cli.lazy import LazyGroup
from odyssey_tui.cli.main import COMMANDS, odyssey, run
from store.workspace import Workspace
from tests.support.terminal import Terminal


@pytest.fixture
def ask(voyage, monkeypatch, capsys, tmp_path):
    """Ask what completes the last word of a line, in the voyage; words by kind."""
    monkeypatch.setenv("ODYSSEY_WORKSPACE", str(voyage.root))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()

    def completed(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
        monkeypatch.setenv(VARIABLE, "bash_complete")
        assert run([]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out.split()

    return completed


def plain(*values: str) -> list[str]:
    return [f"plain,{value}" for value in values]


def test_commands_and_options(ask):
    assert ask("odyssey co") == plain("compare", "completion")
    assert ask("odyssey ") == plain(*COMMANDS)
    assert ask("odyssey store re") == plain("rebuild", "restore")
    assert ask("odyssey queue --js") == plain("--json")
    assert ask("odyssey completion ") == plain("bash", "zsh", "fish")
    assert ask("odyssey forecast --x ada") == plain("adapt_tokens")


def test_runs_states_and_experiments(ask, voyage: Workspace):
    ids = [run_id for run_id in voyage.run_ids() if run_id.startswith("adapt-docs-r0-")]
    assert len(ids) > 3
    assert ask("odyssey show adapt-docs-r0-") == plain(*ids)
    assert ask(f"odyssey compare {ids[0]} adapt-docs-r0-") == plain(*ids[1:])
    assert ask("odyssey launch adapt-docs-r0-") == plain(*ids)
    assert ask("odyssey cancel -e ") == plain("demo")
    assert ask("odyssey matrix de") == plain("demo")
    assert ask("odyssey show nothing-like-it") == []
    states = [f"{ids[0]}@atpp4", f"{ids[0]}@atpp8"]
    for state in (*states, f"{ids[0]}@resume"):
        run_id, _, name = state.partition("@")
        (voyage.runs / run_id / "checkpoints" / name).mkdir(parents=True, exist_ok=True)
    try:
        assert ask(f"odyssey evaluate --model {ids[0]}@") == plain(*states)
    finally:
        shutil.rmtree(voyage.runs / ids[0] / "checkpoints")


def test_configurations_files_and_laws(ask):
    assert ask("odyssey launch m2d2-lo") == plain("m2d2-lora", "m2d2-lora-13b")
    assert ask("odyssey launch mi") == plain("mine.yaml")
    assert ask("odyssey launch ~/study") == ["file,~/study"]
    assert ask("odyssey evaluate --text ./te") == ["file,./te"]
    assert ask("odyssey fit --form zero") == plain("zero_shot")


def test_where_nothing_can_be_read_nothing_is_said(ask, monkeypatch, tmp_path):
    monkeypatch.setenv("ODYSSEY_WORKSPACE", str(tmp_path / "none"))
    assert ask("odyssey show ad") == []
    assert not (tmp_path / "none").exists()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "workspace.json").write_text("{")
    assert ask("odyssey show ad") == []


def test_completers_are_of_parameters_that_exist():
    def parameters(group: LazyGroup):
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            if isinstance(command, LazyGroup):
                yield from parameters(command)
            else:
                yield from (name for option in command.params for name in (*option.opts, option.name))

    assert words.COMPLETERS.keys() <= set(parameters(odyssey))


def test_every_shell_has_a_script_and_a_line_that_installs_it(capsys):
    for shell, line in INSTALL.items():
        assert run(["completion", shell]) == 0
        out, err = capsys.readouterr()
        assert f"{VARIABLE}={shell}_complete" in out
        assert err == ""
        assert run(["completion", "--help"]) == 0
        assert line in capsys.readouterr().out
    assert run(["completion", "tcsh"]) == 2
    assert "'tcsh' is not one of" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_tab_in_a_real_bash(voyage, tmp_path: Path):
    program = tmp_path / "bin" / "odyssey"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m odyssey_tui "$@"\n')
    program.chmod(0o755)
    paths = os.pathsep.join((str(Path.cwd()), os.environ.get("PYTHONPATH", "")))
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": paths,
        "ODYSSEY_WORKSPACE": str(voyage.root),
        "PS1": "ready> ",
        "TERM": "dumb",
        "INPUTRC": "/dev/null",
    }
    done = subprocess.run(
        ["bash", "-n", "-c", 'eval "$(odyssey completion bash)"'], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with Terminal(["bash", "--norc", "--noprofile", "-i"], environment, 120, 30) as terminal:
        terminal.wait_for(r"ready> ")
        terminal.press('eval "$(odyssey completion bash)"; echo loa""ded\r')
        terminal.wait_for(r"loaded")
        terminal.forget()
        terminal.press("odyssey sho\t")
        terminal.wait_for(r"odyssey show ")
        terminal.press("adapt-docs-r0-p5-s\t")
        terminal.wait_for(r"adapt-docs-r0-p5-s-[0-9a-f]{8}")
        terminal.press("\r")
        terminal.wait_for(r"PPL before")
        terminal.press("exit\r")
        assert terminal.wait() == 0


def test_a_command_is_completed_by_its_own_parameters_too():
    context = click.Context(odyssey, obj=None, resilient_parsing=True)
    command = odyssey.get_command(context, "plan")
    (goal,) = (option for option in command.params if option.name == "goal")
    assert [item.value for item in goal.shell_complete(context, "che")] == ["cheapest"]
