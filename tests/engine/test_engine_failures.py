"""Runs that fail in a real worker: the state, the reason and the hint that a user reads, and going on afterwards."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.failures import explain
from engine.launch.dispatcher import Dispatcher
from engine.launch.foreground import Foreground
from engine.launch.mailbox import Slot
from engine.launch.requests import retry
from engine.launch.submit import enqueue
from engine.plan.expand import expand
from engine.spec.load import load_experiment
from engine.spec.run import RunSpec
from store.errors import OdysseyError
from store.files import cannot_write
from store.journal import read_events
from store.run_dir import RunDir, create_run
from store.workspace import Workspace
from tests.support.tiny import write_corpus

pytestmark = pytest.mark.slow

EXPERIMENT = """
name: failing
corpora:
  base: {source: base.jsonl, test_share: 0.2, valid_share: 0.1}
  cut: {source: cut.jsonl, test_share: 0.2, valid_share: 0.1}
  gone: {source: gone.jsonl, test_share: 0.2, valid_share: 0.1}
  poems: {source: poems.jsonl, test_share: 0.2, valid_share: 0.1}
tokenizer: {train_on: base, vocab_size: 300}
base:
  corpora: base
  sizes: {xs: {n_layer: 1, n_embd: 16, n_head: 2}, ys: {n_layer: 1, n_embd: 8, n_head: 2}}
  context: 32
  ptpp: [2, 3]
  training: {lr: 3e-3, sequence: 32, batch_sequences: 8, checkpoint_every_s: 0.01}
adapt:
  - {domain: [cut, gone], size: xs, ptpp: 2, atpp: [0.5]}
  - {domain: poems, size: xs, ptpp: 2, atpp: [40]}
  - {domain: poems, size: xs, ptpp: 2, atpp: [0.5], lr: 1e30, replay_ratio: 0.5}
  - {domain: poems, size: xs, ptpp: 3, atpp: [0.5]}
  - {domain: poems, size: ys, ptpp: 2, atpp: [0.5]}
evaluate: {max_tokens: 2000}
"""
DEADLINE_S = 120.0


@dataclass(frozen=True)
class Trained:
    """A workspace in which everything but the adaptations is done."""

    workspace: Workspace
    specs: dict[str, RunSpec]
    """The adaptations by their names."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate(("base", "cut", "gone", "poems")):
        write_corpus(folder / f"{name}.jsonl", seed, 60)
    (folder / "failing.yaml").write_text(EXPERIMENT)
    runs = expand(load_experiment(folder / "failing.yaml")).runs
    workspace = Workspace.create(folder / "workspace")
    with Foreground(workspace, [run for run in runs if run.job.kind != "adapt"]) as foreground:
        assert foreground.work(lambda moment: None) is None
    return Trained(workspace, {run.name: run for run in runs if run.job.kind == "adapt"})


def entry(workspace: Workspace, kind: str, corpus: str) -> Path:
    """The folder of a corpus's tokens or snapshot in the cache."""
    key = "corpus" if kind == "tokens" else "name"
    manifests = (workspace.cache / kind).glob("*/manifest.json")
    return next(path.parent for path in manifests if json.loads(path.read_text())[key] == corpus)


def work_off(workspace: Workspace) -> None:
    """Have one worker execute everything queued."""
    dispatcher = Dispatcher(workspace, [Slot("cpu0", None, 1)])
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    dispatcher.tick()
    while dispatcher.entries:
        assert time.monotonic() < deadline, {run_id: workspace.run(run_id).state() for run_id in dispatcher.entries}
        dispatcher.tick()
        pause.wait(0.02)
    dispatcher.pool.dismiss_all()


def test_what_vanished_or_broke_is_named_and_a_retry_goes_on_once_it_is_mended(trained, tmp_path):
    workspace = Workspace.open(shutil.copytree(trained.workspace.root, tmp_path / "workspace"))
    home = trained.workspace.root.parent
    tokens = entry(workspace, "tokens", "cut")
    with open(tokens / "tokens.npy", "r+b") as file:
        file.truncate(1000)
    shutil.rmtree(entry(workspace, "corpora", "gone"))
    hidden = (home / "gone.jsonl").rename(home / "hidden.jsonl")
    specs = trained.specs
    bases = {name: workspace.run(spec.job.base.run).checkpoint(spec.job.base.state) for name, spec in specs.items()}
    shutil.rmtree(bases["adapt-poems-r0-p3-xs"])
    with open(bases["adapt-poems-r0-p2-ys"] / "model.safetensors", "r+b") as file:
        file.truncate(500)
    harmed = [spec for spec in specs.values() if spec.job.atpp != (40,)]
    enqueue(workspace, harmed, {spec.run_id: 0.0 for spec in harmed})
    work_off(workspace)
    states = {spec.name: workspace.run(spec.run_id).state() for spec in harmed}
    assert {state.state for state in states.values()} == {"failed"}
    expected = {
        "adapt-cut-r0-p2-xs": (f"the cached {tokens} is damaged", "Delete that folder and retry the run"),
        "adapt-gone-r0-p2-xs": ("corpus 'gone': no such file or folder", ""),
        "adapt-poems-r0-p3-xs": ("has no saved state 'ptpp3'", "launch its experiment again"),
        "adapt-poems-r0-p2-ys": ("its weights are damaged", "copy it again"),
        "adapt-poems-r0.5-p2-xs": ("the loss became", "training.lr"),
    }
    assert sorted(states) == sorted(expected)
    for name, (reason, hint) in expected.items():
        assert reason in states[name].reason
        assert hint in states[name].hint
        assert states[name].hint, name
    shutil.rmtree(tokens)
    hidden.rename(home / "gone.jsonl")
    mended = [specs["adapt-cut-r0-p2-xs"].run_id, specs["adapt-gone-r0-p2-xs"].run_id]
    retry(workspace, mended)
    work_off(workspace)
    assert [workspace.run(run_id).state().state for run_id in mended] == ["done", "done"]


def test_a_full_disk_fails_the_run_by_name_and_it_goes_on_once_there_is_room(trained, tmp_path):
    """In a mount namespace of its own where a small file system can be mounted."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    disk = tmp_path / "disk"
    disk.mkdir()
    spec = trained.specs["adapt-poems-r0-p2-xs"]
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    fill = f"{sys.executable} {Path(__file__)} {trained.workspace.root} {disk} {tmp_path / 'spec.json'}"
    script = f"mount -t tmpfs -o size=48m tmpfs {disk} && exec {fill}"
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ended.returncode == 0, ended.stderr
    first, attempts, resumed = json.loads(ended.stdout)
    assert first["state"] == "failed"
    assert first["reason"].startswith(f"no space left on tmpfs at {disk} (0 MB free): ")
    assert first["hint"].startswith("Free some space there, then `odyssey retry adapt-poems")
    assert attempts == 2
    assert resumed


def fill_up(root: str, disk: str, written: str) -> None:
    """What the test above does within its namespace: fill the disk while a run trains, then empty it again."""
    workspace = Workspace.open(shutil.copytree(root, Path(disk) / "workspace"))
    spec = RunSpec.model_validate_json(Path(written).read_text())
    filler = Path(disk) / "filler"

    def fill(moment) -> None:
        if workspace.run(spec.run_id).checkpoint("resume").exists() and not filler.exists():
            with open(filler, "wb", buffering=0) as file:
                for size in (1 << 16, 1 << 10, 1):
                    with contextlib.suppress(OSError):
                        while True:
                            file.write(b"x" * size)

    with Foreground(workspace, [spec]) as foreground:
        failed = foreground.work(fill)
    filler.unlink()
    with Foreground(workspace, [spec]) as foreground:
        ended = foreground.work(lambda moment: None)
    assert ended is None, ended
    run = workspace.run(spec.run_id)
    events = read_events(run.latest_attempt().events)[0]
    told = {"state": failed.state, "reason": failed.reason, "hint": failed.hint}
    print(json.dumps([told, run.state().attempt, any(event["event"] == "resumed" for event in events)]))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    workspace = Workspace.create(tmp_path / "some")
    return create_run(workspace, {"run_id": "some-run", "job": {"kind": "evaluate"}})


class SafetensorError(Exception):
    """As the library of that name raises it: the system's words, no number."""


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on", "odyssey retry some-run"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "no space left on", "Free some space"),
        (OSError("1000000 requested and 262128 written"), "no space left on", "Free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk quota at", "Free some of it"),
        (OSError(errno.EFBIG, "File too large"), "a file would exceed the largest size", "ulimit -f"),
        (MemoryError("Unable to allocate 30 GiB"), "out of memory (this process held", "evaluate.batch_tokens"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory", "batch_tokens"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out of memory", "batch_tokens"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            "[Errno 13] Permission denied: '/x/y'",
            "Check the",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x/y"), "a file is gone or unreadable", "Restore it"),
        (OdysseyError("two\nlines", "Do this."), "two; lines", "Do this."),
        (ValueError("a bug"), "ValueError: a bug", "The traceback is in"),
    ],
)
def test_known_causes_have_a_reason_and_a_hint(run, error, reason, hint):
    failure = explain(error, run, run.path / "console.log")
    assert failure.reason.startswith(reason)
    assert hint in failure.hint
    assert "\n" not in failure.reason


def test_the_cause_counts_not_what_wrapped_it(run):
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise cannot_write(run.path / "state.pt", error) from error
    except OdysseyError as error:
        failure = explain(error, run, run.path / "console.log")
    assert failure.reason.startswith("no space left on")
    assert "state.pt" in failure.reason


if __name__ == "__main__":
    fill_up(*sys.argv[1:])
