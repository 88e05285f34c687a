"""Every command: documented, at most 80 columns wide, data on stdout and talk on stderr, one set of exit statuses."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import store.errors
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.lazy import LazyGroup
from odyssey_tui.cli.main import odyssey, run
from store.errors import OdysseyError
from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text()


def commands(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it; groups before what is in them."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(None, name)
        yield (*path, name), command
        if isinstance(command, LazyGroup):
            yield from commands(command, (*path, name))


ALL = dict(commands(odyssey))
PRINTING = [
    ("runs",),
    ("show", "RUN"),
    ("queue",),
    ("gpus",),
    ("keys",),
    ("compare", "RUN", "OTHER"),
    ("data",),
    ("similarity",),
    ("matrix",),
    ("repairs",),
    ("tokens", "RUN"),
    ("fit", "--list"),
    ("forecast",),
    ("sql", "SELECT run_id, state FROM runs"),
    ("doctor",),
    ("launch", "demo", "--dry-run"),
    ("launch", "--list"),
    ("store", "check"),
    ("store", "gc"),
]
"""What prints data of a workspace that has results, without computing anything."""
NOT_TRIED = {"fetch", "audit", "adapt", "evaluate", "drift", "import", "delete", "plan", "store export"}
"""Have --json too, and compute, download, need real fits or change something: their own tests read what they print."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return synthetic_workspace(tmp_path_factory.mktemp("commands") / "workspace")


def filled(workspace: Workspace, arguments: tuple[str, ...]) -> list[str]:
    found = (run_id for run_id in workspace.run_ids() if re.match(r"adapt-docs-r[\d.]+-p15-s-[0-9a-f]+$", run_id))
    named = dict(zip(("RUN", "OTHER"), found, strict=False))
    return ["-w", str(workspace.root), *(named.get(argument, argument) for argument in arguments)]


@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
def test_help_says_everything_in_80_columns(path: tuple[str, ...], capsys) -> None:
    assert run([*path, "--help"]) == Exit.OK
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    command = ALL.get(path, odyssey)
    assert command.help
    silent = [option.opts[0] for option in command.params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_what_has_json_is_tried_here_or_in_its_own_tests() -> None:
    has_json = {" ".join(path) for path, command in ALL.items() if any(p.name == "json" for p in command.params)}
    tried = {name for name in has_json if any(" ".join(words).startswith(name) for words in PRINTING)}
    assert has_json - tried == NOT_TRIED


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_stdout_is_data_and_fits(workspace: Workspace, arguments: tuple[str, ...], capsys) -> None:
    called = filled(workspace, arguments)
    assert run(called) == Exit.OK
    told = capsys.readouterr()
    # Of a machine without cards there is nothing but a remark.
    assert told.out or arguments == ("gpus",)
    assert max(map(len, told.out.splitlines()), default=0) <= 80
    assert "\x1b" not in told.out + told.err
    assert run([*called, "--json"]) == Exit.OK
    json.loads(capsys.readouterr().out)
    options = {option for parameter in ALL[_path(arguments)].params for option in parameter.opts}
    if "--csv" in options and arguments[:1] != ("launch",):
        assert run([*called, "--csv"]) == Exit.OK
        rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
        assert len(rows) > 1
        assert len(set(map(len, rows))) == 1
    if "--latex" in options and arguments[:1] != ("launch",):
        assert run([*called, "--latex"]) == Exit.OK
        assert capsys.readouterr().out.startswith("\\begin{tabular}")


def _path(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return arguments[:2] if arguments[:1] == ("store",) else arguments[:1]


@pytest.mark.parametrize(
    "path", [path for path, command in ALL.items() if not isinstance(command, LazyGroup)], ids=" ".join
)
def test_a_wrong_option_is_told_on_stderr_alone(path: tuple[str, ...], capsys) -> None:
    assert run([*path, "--no-such-option"]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert f"odyssey {' '.join(path)} --help" in err


def test_errors_have_statuses_of_the_enum() -> None:
    found = {error.exit_code for error in (OdysseyError, *_leaves(OdysseyError))}
    assert found <= set(Exit)
    assert {store.errors.ConfigError.exit_code, store.errors.WorkspaceError.exit_code} == {Exit.USAGE, Exit.WORKSPACE}
    assert store.errors.DataError.exit_code == Exit.DATA


def _leaves(error: type[OdysseyError]) -> Iterator[type[OdysseyError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _leaves(kind)


def test_no_module_of_the_command_line_ends_with_a_number_of_its_own() -> None:
    own = re.compile(r"(SystemExit|sys\.exit|ctx\.exit|context\.exit)\(\s*\d|^    return \d+$", re.MULTILINE)
    found = [path.name for path in (ROOT / "odyssey_tui" / "cli").glob("*.py") if own.search(path.read_text())]
    assert found == []


def test_the_page_has_the_statuses_of_the_enum() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE))
    assert rows == {str(int(status)): status.meaning for status in Exit}


def test_the_page_installs_completion_as_the_command_says() -> None:
    from odyssey_tui.cli.completion import INSTALL

    assert all(line in PAGE for line in INSTALL.values())
