"""``odyssey gpus``: cards and whose processes hold them, runs by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest

from engine.launch.mailbox import Card, Mailbox, Order, Slot
from engine.launch.process import Identity
from engine.spec.run import Corpus, PrepareJob, RunSpec, Tokenizer
from odyssey_tui.cli.main import run
from store.run_dir import create_run
from store.workspace import Workspace
from tests.support.gpus import FakeDriver, card


@pytest.fixture
def driver(tmp_path, monkeypatch):
    yield FakeDriver(tmp_path / "nvml.json", monkeypatch)
    sys.modules.pop("pynvml", None)


def make_worker(root, worker_id, seq, finished):
    """A workspace with one run, and a process that looks like its worker's child."""
    workspace = Workspace.create(root)
    job = PrepareJob(corpora=(Corpus(name="x", source="x"),), tokenizer=Tokenizer())
    create_run(workspace, RunSpec(run_id="r1", name="law-a", experiment="x", job=job).model_dump(mode="json"))
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()']); print(flush=True); input()"
    pipe = subprocess.PIPE
    process = subprocess.Popen((sys.executable, "-c", code, str(root), worker_id), stdin=pipe, stdout=pipe)
    process.stdout.readline()
    mailbox = Mailbox(workspace.workers / worker_id)
    mailbox.write_slot(Slot("gpu0", "GPU-aaaa", 1))
    mailbox.write_card(Card(Identity.of(process.pid), finished=finished))
    mailbox.write_order(Order(seq, "r1", 1))
    return process


def test_processes_are_runs_or_somebodys(driver, tmp_path, capsys):
    ours = make_worker(tmp_path / "ours", "gpu0-1", seq=1, finished=0)
    theirs = make_worker(tmp_path / "theirs", "gpu0-2", seq=1, finished=1)
    child = psutil.Process(ours.pid).children()[0].pid
    driver.show(card("a", (child, 30_000), (theirs.pid, 500), (os.getpid(), 900), (2**22 + 1, None)), card("b"))
    command = ["--workspace", str(tmp_path / "ours"), "gpus"]
    assert run([*command, "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    users = [(user["who"], user["memory"], user["own"]) for user in cards[0]["processes"]]
    assert users[0] == (f"run law-a ({tmp_path / 'ours'})", 30_000_000_000, True)
    assert users[1][0].startswith(f"{psutil.Process().username()}: ")
    assert users[2] == (f"an idle worker ({tmp_path / 'theirs'})", 500_000_000, False)
    assert users[3] == ("a process that is not to be seen from here", None, False)
    assert (cards[1]["gpu"], cards[1]["uuid"], cards[1]["processes"]) == ("gpu1", "GPU-bbbb", [])
    assert run(command) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 1 + 4 + 1
    assert all(word in table[1] for word in ("gpu0", "7%", "31.4/80", "30.0 GB run law-a (here)"))
    assert table[5].endswith("nobody")
    for process in ours, theirs:
        process.communicate()


def test_without_gpus_it_says_what_runs_use(driver, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ODYSSEY_SLOTS", "3")
    command = ["--workspace", str(tmp_path / "none"), "gpus"]
    assert run(command) == 0
    assert capsys.readouterr().err == "no GPU here, or no driver for one: runs use CPU cores, 3 at a time\n"
    driver.show(card("a"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert run(command) == 0
    assert "CUDA_VISIBLE_DEVICES hides every GPU (1)" in capsys.readouterr().err
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
