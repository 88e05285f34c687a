"""A small real sweep: texts, a ladder of one size, adaptations, zero-shot scores, similarity, a fit; seconds each."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from engine.launch import requests
from engine.launch.pauses import read_paused_experiments
from engine.launch.scheduler import ensure_running
from engine.launch.status import pause_reason, read_status
from engine.launch.submit import submit
from engine.plan.expand import expand
from engine.plan.known import look_up
from engine.plan.plan import Plan
from engine.spec.load import load_experiment
from store.errors import OdysseyError
from store.workspace import Workspace
from tests.support.tiny import write_corpus

ENVIRONMENT = {
    "ODYSSEY_SLOTS": "2",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "TERM": "xterm-256color",
}
EXPERIMENT = """\
name: faults
corpora:
  base: {{source: base.jsonl, test_share: 0.2, valid_share: 0.1}}
  poems: {{source: poems.jsonl, test_share: 0.2, valid_share: 0.1}}
tokenizer: {{train_on: base, vocab_size: 300}}
base:
  corpora: base
  sizes: {{xs: {{n_layer: 1, n_embd: {width}, n_head: 2}}}}
  context: 32
  ptpp: {ptpp}
  training: &training {{lr: 3e-3, sequence: 32, batch_sequences: 4, log_every: 5, validate_every: 50,
             checkpoint_every_s: 0.1}}
adapt:
  - {{domain: poems, replay_ratio: [0, 0.25], atpp: {atpp}}}
adapt_training: *training
evaluate: {{max_tokens: 4000}}
similarity: {{measures: [jsd, cosine], embedders: [ngrams]}}
laws: {{domain: poems, forms: {forms}, starts: 4, bootstrap: 3}}
"""


@dataclass(frozen=True)
class Extent:
    """How much the sweep computes."""

    width: int = 32
    ptpp: tuple[float, ...] = (2, 4, 8)
    atpp: tuple[float, ...] = (1, 2)
    forms: tuple[str, ...] = ("zero_shot", "dcpt")


QUICK = Extent(width=16, ptpp=(2, 4, 6))
"""Seconds of training in all."""


@contextmanager
def processes_of(folder: Path) -> Iterator[None]:
    """Set up the environment that every process of the sweep inherits; afterwards none of them lives."""
    mine = {**ENVIRONMENT, "XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        end_all(folder)


def end_all(folder: Path) -> None:
    """Kill every process whose command line names something in ``folder``."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid != os.getpid() and any(word.startswith(f"{folder}/") for word in words):
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def write_texts(folder: Path, extent: Extent) -> Path:
    """The corpora and the experiment over them, which all workspaces of a comparison share; returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_corpus(folder / "base.jsonl", 1, 60)
    write_corpus(folder / "poems.jsonl", 2, 60)
    values: Mapping[str, object] = {
        "width": extent.width,
        "ptpp": list(extent.ptpp),
        "atpp": list(extent.atpp),
        "forms": f"[{', '.join(extent.forms)}]",
    }
    file = folder / "faults.yaml"
    file.write_text(EXPERIMENT.format(**values))
    return file


def make_plan(config: Path, workspace: Workspace) -> Plan:
    """The runs of the experiment, the same whatever the workspace."""
    experiment = load_experiment(str(config))
    return expand(experiment, look_up(experiment, workspace))


@dataclass
class Nurse:
    """A patient user: looks after the queue, retries what got lost, resumes what paused. ``look`` until it is True."""

    workspace: Workspace
    plan: Plan
    failed: list[str] = field(default_factory=list)
    """Why runs failed: a killed process loses a run at most, it never makes one fail."""
    retried: int = 0
    resumed: int = 0
    _asked: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """Queue the sweep and start its scheduler."""
        submit(self.workspace, self.plan)
        ensure_running(self.workspace)

    def look(self) -> bool:
        """Act once; whether every run is done."""
        states = {spec.run_id: self.workspace.run(spec.run_id).state() for spec in self.plan.runs}
        if all(state.state == "done" for state in states.values()):
            return True
        for run_id, state in states.items():
            if state.state in ("lost", "failed", "cancelled") and self._asked[run_id] < state.attempt:
                # Once for each attempt: the scheduler may take up the request any time later.
                self._asked[run_id] = state.attempt
                self.retried += 1
                if state.state != "lost":
                    self.failed.append(f"{run_id} {state.state}: {state.reason}")
                requests.retry(self.workspace, [run_id])
        if pause_reason(self.workspace) is not None:
            self.resumed += 1
            requests.resume(self.workspace)
        if paused := list(read_paused_experiments(self.workspace)):
            self.resumed += 1
            requests.resume(self.workspace, paused)
        ensure_running(self.workspace)
        return False


def work_through(nurse: Nurse, deadline_s: float) -> None:
    """Wait until an undisturbed sweep is done; OdysseyError says what failed, or is missing at the deadline."""
    deadline = time.monotonic() + deadline_s
    while not nurse.look():
        if nurse.retried:
            raise OdysseyError(f"the undisturbed sweep was disturbed: {nurse.failed or describe(nurse.workspace)}")
        if time.monotonic() > deadline:
            raise OdysseyError(f"the sweep is not done after {deadline_s:.0f} s: {describe(nurse.workspace)}")
        time.sleep(0.1)


def describe(workspace: Workspace) -> str:
    """Every run that is not done, with its state."""
    states = {run_id: workspace.run(run_id).state() for run_id in workspace.run_ids()}
    return ", ".join(f"{run_id} {state.state} {state.reason}" for run_id, state in states.items() if not state.finished)


def dismiss(workspace: Workspace, wait_s: float = 20.0) -> None:
    """Tell the scheduler to leave, as at a shutdown, and wait until it has."""
    status = read_status(workspace)
    if status is None or not status.identity.alive():
        return
    os.kill(status.identity.pid, signal.SIGTERM)
    deadline = time.monotonic() + wait_s
    while status.identity.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
