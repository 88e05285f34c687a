"""``odyssey adapt`` as a user gives it: chosen among several, interrupted, taken up again, then nothing left to do."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny import write_experiment

pytestmark = pytest.mark.slow

START = (
    "import sys; from odyssey_tui.cli.main import run; code = run(); assert 'torch' not in sys.modules; sys.exit(code)"
)
LONGER = "adapt.0.atpp=[30]"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START, "-w", str(folder / "workspace"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt")
    write_experiment(folder)
    return folder


def test_several_adaptations_are_listed_and_one_is_chosen(folder: Path) -> None:
    both = ("adapt", str(folder / "tiny.yaml"), "--set", "adapt.0.replay_ratio=[0,0.5]")
    status, out, err = finish(folder, *both)
    assert (status, out) == (2, "")
    assert "2 adaptations:\n    adapt-poems-r0-p2-xs\n    adapt-poems-r0.5-p2-xs\n" in err
    status, _, err = finish(folder, *both, "--run", "adapt-poems-r9")
    assert status == 2
    assert "no adaptation is called 'adapt-poems-r9'" in err
    assert not (folder / "workspace" / "runs").exists() or not list((folder / "workspace" / "runs").iterdir())


def test_an_interrupted_adaptation_goes_on_and_is_then_there(folder: Path) -> None:
    command = ("adapt", str(folder / "tiny.yaml"), "--set", LONGER)
    process = start(folder, *command)
    for line in process.stderr:
        if "adapt-poems" in line and "loss" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert out == ""
    assert "stopped; the same command goes on from the last checkpoint" in err
    status, out, err = finish(folder, *command)
    assert status == 0, err
    header, *lines = out.splitlines()
    assert header.split()[:4] == ["at", "on", "role", "zero-shot"]
    assert [line.split()[:2] for line in lines] == [["atpp30", "poems"], ["atpp30", "base"]]
    assert "pretrain-xs (there already)" in err
    assert err.count("✓ done adapt-poems") == 1
    assert "/checkpoints/atpp30" in err
    status, out, err = finish(folder, *command, "--json")
    assert status == 0, err
    told = json.loads(out)
    assert told["state"] == "done"
    assert all(Path(kept).joinpath("model.safetensors").exists() for kept in told["checkpoints"])
    run = told["run"]
    _, out, _ = finish(folder, "show", run)
    assert "attempt 2 went on from" in out
    assert "the one before was cancelled: interrupted" in out
    events = (folder / "workspace" / "runs" / run / "attempts" / "2" / "events.jsonl").read_text()
    assert events.count('"event":"resumed"') == 1


def test_the_card_of_a_run_makes_the_same_run_elsewhere(folder: Path, tmp_path: Path) -> None:
    status, out, err = finish(folder, "adapt", str(folder / "tiny.yaml"), "--json")
    assert status == 0, err
    first = json.loads(out)
    status, card, err = finish(folder, "show", first["run"], "--card")
    assert (status, err) == (0, "")
    name, content = re.search(r"^## (\S+\.yaml)\n\n```yaml\n(.*?)```", card, re.MULTILINE | re.DOTALL).groups()
    (tmp_path / name).write_text(content)
    commands = re.search(r"^```\n(.*?)```", card, re.MULTILINE | re.DOTALL)[1].splitlines()
    launch, adapt = (
        shlex.split(line, comments=True)[1:] for line in commands if line.startswith(("odyssey l", "odyssey a"))
    )
    launch, adapt = ([str(tmp_path / word) if word == name else word for word in words] for words in (launch, adapt))
    status, out, err = finish(tmp_path, *launch, "--dry-run", "--json")
    assert status == 0, err
    assert first["run"] in {planned["run"] for planned in json.loads(out)["runs"]}
    status, out, err = finish(tmp_path, *adapt, "--json")
    assert status == 0, err
    again = json.loads(out)
    assert again["run"] == first["run"]
    assert [line["loss"] for line in again["evaluations"]] == [line["loss"] for line in first["evaluations"]]
