"""Commands that start a queue warn where logging out would stop it."""

from __future__ import annotations

import pytest

from odyssey_tui.cli.main import run
from store.workspace import Workspace

WARNING = "the queue stops when you log out: it is so here"


@pytest.fixture(autouse=True)
def in_a_session(monkeypatch):
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: True)
    monkeypatch.setattr("engine.launch.login.warn_of_logout", lambda: WARNING)


def test_resume_warns(tmp_path, capsys):
    Workspace.create(tmp_path / "w")
    assert run(["--workspace", str(tmp_path / "w"), "resume"]) == 0
    assert f"note: {WARNING}" in " ".join(capsys.readouterr().err.split())


def test_launch_warns_and_its_dry_run_does_not(tmp_path, capsys):
    command = ["--workspace", str(tmp_path / "w"), "launch", "demo"]
    assert run([*command, "--dry-run"]) == 0
    assert "log out" not in capsys.readouterr().err
    assert run(command) == 0
    assert f"note: {WARNING}" in " ".join(capsys.readouterr().err.split())
