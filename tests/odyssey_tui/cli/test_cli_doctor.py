"""``odyssey doctor``: what is wrong is named with its fix, by exit status and as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from odyssey_tui.cli.main import run
from odyssey_tui.services import doctor_machine, doctor_terminal
from odyssey_tui.services.doctor_workspace import _find_stale
from store.database import lease, lease_path
from store.run_dir import RunDir
from store.workspace import Workspace
from tests.support.gpus import FakeDriver, card
from tests.support.small_disk import filled, small_disk
from tests.support.terminal import Terminal


@pytest.fixture(autouse=True)
def no_driver(tmp_path, monkeypatch):
    """A machine without cards, and without settings of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    yield FakeDriver(tmp_path / "nvml.json", monkeypatch)
    sys.modules.pop("pynvml", None)


def diagnose(capsys, workspace: Path | Workspace) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    """The exit status, and the verdicts by area and check."""
    root = workspace.root if isinstance(workspace, Workspace) else workspace
    status = run(["-w", str(root), "doctor", "--json"])
    out, err = capsys.readouterr()
    assert err == ""
    return status, {(row["area"], row["check"]): row for row in json.loads(out)}


def test_without_a_workspace_nothing_is_broken_and_none_is_made(tmp_path, capsys):
    root = tmp_path / "none"
    status, found = diagnose(capsys, root)
    assert status == 0
    assert not root.exists()
    assert found["workspace", "folder"]["severity"] == "info"
    assert "odyssey demo" in found["workspace", "folder"]["fix"]
    assert {name for area, name in found if area == "libraries"} >= {"python", *doctor_machine.TOLD}
    assert found["gpu", "cards"]["what"].startswith("no GPU here")
    root.mkdir()
    assert diagnose(capsys, root)[1]["workspace", "folder"]["severity"] == "info"
    assert run(["-w", str(root), "doctor"]) == 0
    out, err = capsys.readouterr()
    # Paths stay whole: they are there to be copied.
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80
    assert "FIX `odyssey demo`" in out
    assert err == "0 problems, 0 warnings\n"


def test_a_voyage_without_a_scheduler(own_voyage, capsys):
    status, found = diagnose(capsys, own_voyage)
    assert status == 0
    assert found["workspace", "scheduler"]["what"] == "none works, and 2 runs wait"
    assert found["workspace", "database"]["severity"] == "ok"
    # The process of the running run is this one.
    assert ("workspace", "runs") not in found
    (run_id,) = (name for name in own_voyage.run_ids() if own_voyage.run(name).state().state == "running")
    journal = own_voyage.run(run_id).latest_attempt().path / "events.jsonl"
    journal.write_text(journal.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4194305'))
    assert run_id in diagnose(capsys, own_voyage)[1]["workspace", "runs"]["what"]


def test_who_writes_the_database_is_named(own_voyage, capsys):
    with lease(own_voyage, write=True):
        pass
    with lease_path(own_voyage).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status, found = diagnose(capsys, own_voyage)
    assert status == 0
    verdict = found["workspace", "database"]
    assert (verdict["severity"], f"process {os.getpid()}" in verdict["what"]) == ("warning", True)


def test_an_older_schema_is_told_and_left_alone(own_voyage, capsys):
    with lease(own_voyage, write=True) as con:
        con.execute("DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)")
    before = own_voyage.database_path.read_bytes()
    status, found = diagnose(capsys, own_voyage)
    assert status == 0
    assert "and this odyssey uses" in found["workspace", "database"]["what"]
    assert own_voyage.database_path.read_bytes() == before


def test_a_damaged_database_a_lost_run_and_wrong_settings_are_problems(own_voyage, capsys):
    run_id = own_voyage.run_ids()[0]
    (own_voyage.runs / run_id).rename(own_voyage.root.parent / run_id)
    status, found = diagnose(capsys, own_voyage)
    assert status == 1
    assert run_id in found["workspace", "runs have directories"]["what"]
    assert "odyssey delete" in found["workspace", "runs have directories"]["fix"]
    own_voyage.database_path.write_bytes(b"no database" * 1000)
    status, found = diagnose(capsys, own_voyage)
    assert status == 1
    assert "odyssey store rebuild" in found["workspace", "database"]["fix"]
    (own_voyage.root / "settings.toml").write_text("retris = 2\n")
    status, found = diagnose(capsys, own_voyage)
    assert status == 1
    assert "retries" in found["workspace", "settings"]["fix"]


def test_a_wrong_settings_file_is_a_problem(tmp_path, capsys):
    file = tmp_path / "config" / "odyssey" / "settings.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("theme: odyssey-drak\n")
    status, found = diagnose(capsys, tmp_path / "none")
    assert status == 1
    assert "odyssey-dark" in found["settings", "file"]["fix"]
    file.write_text("theme: odyssey-light\nkeys: {runs.mark: v}\n")
    status, found = diagnose(capsys, tmp_path / "none")
    assert status == 0
    assert "odyssey-light, 1 keys of your own" in found["settings", "file"]["what"]


def test_cards_and_a_driver_that_is_too_old_for_torch(no_driver, tmp_path, monkeypatch, capsys):
    no_driver.show(card("a", (os.getpid(), 900)), card("b"))
    monkeypatch.setattr(doctor_machine, "read_torch_cuda", lambda: (13, 0))
    status, found = diagnose(capsys, tmp_path / "none")
    assert (status, found["gpu", "gpu0"]["severity"], found["gpu", "gpu1"]["severity"]) == (0, "info", "ok")
    assert found["gpu", "gpu1"]["what"] == "Fake H100, 80 GB"
    assert "does not say" in found["gpu", "driver"]["what"]
    no_driver.show(card("a"), driver="550.54", cuda=12040)
    status, found = diagnose(capsys, tmp_path / "none")
    assert (status, found["gpu", "driver"]["severity"]) == (1, "problem")
    assert "driver 550.54 serves CUDA 12.4; torch is built for CUDA 13.0" in found["gpu", "driver"]["what"]
    monkeypatch.setattr(doctor_machine, "read_torch_cuda", lambda: (12, 8))
    assert diagnose(capsys, tmp_path / "none")[0] == 0
    monkeypatch.setattr(doctor_machine, "read_torch_cuda", lambda: None)
    status, found = diagnose(capsys, tmp_path / "none")
    assert (status, "without CUDA" in found["gpu", "driver"]["what"]) == (1, True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert diagnose(capsys, tmp_path / "none")[1]["gpu", "cards"]["fix"] == "unset CUDA_VISIBLE_DEVICES"


def test_the_cuda_of_the_installed_torch_is_that_of_its_file(tmp_path, monkeypatch):
    for text, expected in (("'12.8'", (12, 8)), ("None", None)):
        folder = tmp_path / text.strip("'") / "torch"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "version.py").write_text(f"__version__ = '2.8'\ncuda: Optional[str] = {text}\n")
        code = "from odyssey_tui.services.doctor_machine import read_torch_cuda; print(read_torch_cuda())"
        path = os.pathsep.join((str(folder.parent), *filter(None, sys.path)))
        command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.stdout.strip() == str(expected), done.stderr


def test_versions_that_do_not_fit_and_what_is_missing():
    lines = ["textual>=999", "duckdb>=1", "no-such-thing>=2", 'absent>=1; extra == "qlora"', "click>=8"]
    found = {verdict.check: verdict for verdict in doctor_machine.judge_requirements(lines)}
    assert found.keys() == {"textual", "duckdb", "no-such-thing"}
    assert (found["textual"].severity, found["textual"].fix) == ("problem", "pip install 'textual>=999'")
    assert (found["no-such-thing"].severity, found["no-such-thing"].what) == ("problem", "not installed")
    assert found["duckdb"].severity == "ok"


def test_a_full_disk(tmp_path, capsys):
    with small_disk(tmp_path / "disk", 24) as place, filled(place, but_bytes=2_000_000):
        status, found = diagnose(capsys, place / "new")
    assert (status, found["disk", "workspace"]["severity"]) == (1, "problem")
    assert "nothing will be started" in found["disk", "workspace"]["what"]


def test_sizes_characters_and_clipboards():
    sizes = [doctor_terminal.judge_size(*size).severity for size in ((120, 40), (60, 24), (18, 24))]
    assert sizes == ["ok", "warning", "problem"]
    assert doctor_terminal.judge_encoding("utf-8", {}).severity == "ok"
    latin = doctor_terminal.judge_encoding("iso8859-1", {"LANG": "de_DE"})
    assert (latin.severity, "LANG=de_DE" in latin.what, latin.fix) == ("problem", True, "export LC_ALL=C.UTF-8")
    agreed = [doctor_terminal.judge_clipboard({}, attributes).severity for attributes in ("62;52;22", "62;22", None)]
    assert agreed == ["ok", "info", "info"]
    assert doctor_terminal.judge_clipboard({"STY": "1"}, None).severity == "warning"


def test_a_terminal_is_asked_and_its_answer_is_not_typed_into_the_shell(tmp_path):
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("TMUX", "STY", "NO_COLOR"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "odyssey_tui", "-w", str(tmp_path / "none"), "doctor"]
    with Terminal(command, environment, 100, 30) as terminal:
        terminal.wait_for(r"100 columns, 30 lines")
        terminal.wait_for_sequence(b"\x1b[c")
        terminal.press("\x1b[?62;22;52c")
        terminal.wait_for(r"the terminal says that it agrees")
        terminal.wait_for(r"16 million")
        assert terminal.wait() == 0


def test_output_that_is_not_utf_8_is_no_error(voyage):
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "odyssey_tui", "-w", str(voyage.root)]
    done = subprocess.run([*command, "runs"], capture_output=True, env=environment)
    assert (done.returncode, b"\\u0394L" in done.stdout) == (0, True)
    done = subprocess.run([*command, "doctor", "--json"], capture_output=True, env=environment)
    verdicts = {row["check"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1
    assert verdicts["characters"]["fix"] == "export LC_ALL=C.UTF-8"


def test_journals_of_runs_that_have_ended_well_are_not_read_for_it(voyage, monkeypatch) -> None:
    read, state = [], RunDir.state
    monkeypatch.setattr(RunDir, "state", lambda run: read.append(run.run_id) or state(run))
    _find_stale(voyage)
    assert len(set(read)) == 3  # one that runs, one that failed, one that waits
