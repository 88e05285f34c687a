"""``odyssey demo --headless`` from nothing to its tables, on a small experiment in place of the ready one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.launch.queue_state import queue_state
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from store.workspace import Workspace
from tests.support.tiny import write_experiment


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a workspace to come; a scheduler that works on it is told to leave afterwards."""
    monkeypatch.setenv("ODYSSEY_SLOTS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield tmp_path / "workspace"
    pid = queue_state(Workspace.open(tmp_path / "workspace")).scheduler_pid
    if pid is not None:
        os.kill(pid, signal.SIGTERM)


@pytest.mark.slow
def test_the_demo_prints_its_tables_and_is_done_only_once(root: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("odyssey_tui.services.demo.CONFIG", str(write_experiment(tmp_path)))
    status = run(["demo", "--headless", "-w", str(root)])
    first = capsys.readouterr()
    assert status == Exit.OK, first.err
    assert "runs queued" in first.err
    assert "/4 runs" in first.err
    for words in ("== Corpora", "poems", "== Runs", "✓ done", "== Evaluations", "PPL before", "== Tokens", "== Plan"):
        assert words in first.out
    assert max(map(len, first.out.partition("== Similarity")[0].splitlines())) <= 80

    attempts = {run_id: len(Workspace.open(root).run(run_id).attempts()) for run_id in Workspace.open(root).run_ids()}
    assert run(["demo", "--headless", "-w", str(root)]) == Exit.OK
    second = capsys.readouterr()
    assert "queued" not in second.err
    assert second.out == first.out
    assert set(attempts.values()) == {1}


@pytest.mark.slow
def test_a_demo_that_fails_names_the_run(root: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("odyssey_tui.services.demo.CONFIG", str(write_experiment(tmp_path, documents=0)))
    assert run(["demo", "--headless", "-w", str(root)]) == Exit.FAILED
    shown = capsys.readouterr()
    assert "failed: prepare" in shown.err
    assert "Traceback" not in shown.err
