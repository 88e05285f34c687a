"""Drift through the queue and in the foreground, as a user asks for it: planned, ad hoc, and where weights are gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.launch.queue_state import queue_state
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from store.workspace import Workspace
from tests.support.queue import wait_for_all
from tests.support.tiny import write_experiment

pytestmark = pytest.mark.slow

DEADLINE_S = 180.0


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The tiny experiment with drift and all states kept, launched through the queue and finished."""
    folder = tmp_path_factory.mktemp("drift")
    config = write_experiment(folder)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("ODYSSEY_SLOTS", "1"), ("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1")):
            environment.setenv(name, value)
        arguments = ("--set", "evaluate.drift=true", "--set", "adapt.0.keep=all")
        assert run(["launch", str(config), *arguments, "-w", str(folder / "workspace")]) == 0
        made = Workspace.open(folder / "workspace")
        wait_for_all(made, DEADLINE_S)
        yield made
    if (pid := queue_state(made).scheduler_pid) is not None:
        os.kill(pid, signal.SIGTERM)


def call(workspace: Workspace, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(["drift", "-w", str(workspace.root), *arguments])
    return status, *capsys.readouterr()


def adapted(workspace: Workspace) -> str:
    (run_id,) = [name for name in workspace.run_ids() if name.startswith("adapt-poems")]
    return run_id


def test_what_was_planned_is_there_and_is_told(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    runs = workspace.run_ids()
    status, out, err = call(workspace, capsys, "adapt-poems")
    assert status == 0, err
    assert workspace.run_ids() == runs
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(out.split())
    assert f"{adapted(workspace)}@atpp1 on poems (target) (blocks, window 32, fp32)" in told
    assert "comes from the hidden states" in told
    assert "c_v with the drift of its embedding: ρ = " in told
    _, out, _ = call(workspace, capsys, adapted(workspace), "--json", "--top", "5")
    found = json.loads(out)
    assert found["from_hidden"] + found["from_output"] == pytest.approx(found["change"], abs=1e-12)
    assert [row["rank"] for row in found["types"]] == [1, 2, 3, 4, 5]
    _, out, _ = call(workspace, capsys, found["run_id"], "--json", "--top", "5")
    assert json.loads(out) == found


def test_another_state_and_set_go_through_the_queue(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = (f"{adapted(workspace)}@atpp0.5", "--on", "base")
    status, out, err = call(workspace, capsys, *wanted)
    assert (status, out) == (0, "")
    assert "queued. The same command prints the table when it is done" in " ".join(err.split())
    status, out, err = call(workspace, capsys, *wanted, "--wait", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["on"], found["model_after"]) == ("base", wanted[0])
    assert found["run_id"].startswith("drift-poems-r0-p2-xs-atpp0.5-on-base-")


def test_here_is_in_this_commands_own_time(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ("adapt-poems", "--max-tokens", "300", "--here")
    status, out, err = call(workspace, capsys, *wanted)
    assert status == 0, err
    assert "✓ done drift-poems-r0-p2-xs-atpp1" in err
    assert "over 279 positions of 1,937, windows that lie evenly over it" in " ".join(out.split())
    status, again, err = call(workspace, capsys, *wanted)
    assert (status, again, err) == (0, out, "")


def test_weights_that_are_gone_are_missed_before_anything_is_queued(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(workspace.root, tmp_path / "workspace", ignore=shutil.ignore_patterns("scheduler", "workers"))
    own = Workspace.open(tmp_path / "workspace")
    shutil.rmtree(own.run(adapted(own)).checkpoint("atpp1"))
    runs = own.run_ids()
    status, _, err = call(own, capsys, "adapt-poems", "--on", "base")
    assert status == Exit.DATA
    assert "the weights of" in err
    assert "keep: final" in err
    assert own.run_ids() == runs
