"""Two processes train what one does: losses, gradients, saved weights, evaluations, stops and checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from engine.launch.dispatcher import Dispatcher
from engine.launch.mailbox import Slot
from engine.launch.tickets import Ticket, write_ticket
from engine.spec.run import (
    Architecture,
    Corpus,
    EvalSet,
    Evaluation,
    PretrainJob,
    Resources,
    RunSpec,
    Scheme,
    Tokenizer,
    Training,
)
from engine.train.group import ALONE
from engine.train.group_distributed import Replicated
from store.journal import read_events
from store.run_dir import RunDir, create_run
from store.workspace import Workspace
from tests.engine.train import parallel_scenarios as scenarios

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two processes: starting them costs seconds, so they go through everything at once."""
    out = tmp_path_factory.mktemp("together")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = (sys.executable, *launcher, str(Path(scenarios.__file__)), str(out))
    ended = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return out


@pytest.fixture(scope="module")
def results(together: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    return json.loads((together / "results.json").read_text())


def _close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert len(found["metrics"]) == len(expected["metrics"]) == 11
    for ours, theirs in zip(found["metrics"], expected["metrics"], strict=True):
        assert ours == pytest.approx(theirs, rel=TOLERANCE)
    assert found["losses"] == pytest.approx(expected["losses"], rel=TOLERANCE)
    assert found["scored"] == expected["scored"]
    assert found["weights"] == pytest.approx(expected["weights"], rel=TOLERANCE)


@pytest.mark.parametrize("kind", scenarios.DECODERS)
@pytest.mark.parametrize("variant", scenarios.VARIANTS)
def test_two_processes_take_the_steps_of_one(results: dict[str, Any], kind: str, variant: str) -> None:
    alone = scenarios.train(kind, variant, ALONE)
    for sharding in ("none", "full"):
        _close(results[f"{sharding} {kind} {variant}"], alone)


def test_gradients_are_divided_by_the_targets_of_all_processes(results: dict[str, Any]) -> None:
    alone = scenarios.train("tied", "accumulated", ALONE, lambda _: scenarios.Uneven())
    plain = scenarios.train("tied", "accumulated", ALONE)
    assert alone["metrics"][0]["loss"] != pytest.approx(plain["metrics"][0]["loss"], rel=1e-2)
    for sharding in ("none", "full"):
        _close(results[f"{sharding} uneven"], alone)


@pytest.mark.parametrize("kind", ["tied", "lora"])
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_targets_held_to_the_base_are_held_by_all(results: dict[str, Any], sharding: str, kind: str) -> None:
    alone, together = scenarios.train(kind, "accumulated", ALONE, scenarios.held), results[f"{sharding} {kind} held"]
    _close(together, alone)
    # A small divergence is a difference of large numbers: float32 leaves some 1e-7 nats.
    assert together["divergence"] == pytest.approx(alone["divergence"], rel=1e-3, abs=1e-6)
    assert alone["divergence"] > 1e-5


@pytest.mark.parametrize("kind", ["tied", "lora"])
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_stopped_runs_go_on_with_two_processes_or_one(
    results: dict[str, Any], together: Path, sharding: str, kind: str, tmp_path: Path
) -> None:
    whole = results[f"{sharding} {kind} whole"]
    alone = scenarios.sail(tmp_path, ALONE, kind=kind)
    _same_lines(whole["lines"], alone["lines"])
    assert whole["seen"] == alone["seen"]
    for stop in scenarios.STOPS:
        parts = results[f"{sharding} {kind} stopped at {stop}"]
        first, second = parts["first"], parts["second"]
        # One process was asked to stop; both did, after the same step.
        assert parts["ended"] == [[first["step"], 1]] * 2
        # Two processes go on bit for bit.
        assert [*first["lines"], *second["lines"]] == whole["lines"]
        third = scenarios.sail(together / f"{sharding}-{kind}" / f"{stop}-alone", ALONE, kind=kind)
        _same_lines([*first["lines"], *third["lines"]], whole["lines"])
        assert third["seen"] == second["seen"]


def _same_lines(found: list[Any], expected: list[Any]) -> None:
    assert [line[:2] for line in found] == [line[:2] for line in expected]
    assert [line[2] for line in found] == pytest.approx([line[2] for line in expected], rel=TOLERANCE)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_parts_cover_a_step_once(count: int, world: int) -> None:
    rows: list[int] = []
    for rank in range(world):
        group = object.__new__(Replicated)
        group.rank, group.world = rank, world
        first, number = group.part(count)
        rows.extend(range(first, first + number))
        assert number <= -(-count // world)
    assert rows == list(range(count))


def test_a_sharded_run_through_the_queue_equals_a_plain_one(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for document in range(30):
        (folder / f"{document}.txt").write_text(" ".join(map(str, draw.integers(0, 60, 400))))
    corpus = Corpus(name="text", source=str(folder), test_share=0.1, valid_share=0.1)
    job = PretrainJob(
        size="xs",
        architecture=Architecture(family="llama", n_layer=2, n_embd=16, n_head=2, context=32),
        tokenizer=Tokenizer(train_on=(corpus,), vocab_size=280),
        corpora=(corpus,),
        ptpp=(0.3, 0.5),
        training=Training(lr=3e-3, sequence=32, batch_sequences=6, log_every=1, sharding="full", validate_every=4),
        evaluation=Evaluation(
            sets=(EvalSet(name="text", role="base", corpora=(corpus,), max_tokens=1000),), scheme=Scheme(window=32)
        ),
    )
    workspace = Workspace.create(tmp_path / "workspace")
    runs = [_queue(workspace, name, job, wanted) for name, wanted in (("one", 1), ("two", 2))]
    dispatcher = Dispatcher(workspace, [Slot(f"cpu{index}", None, 1) for index in range(3)])
    try:
        deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
        while not all(run.state().finished for run in runs) and time.monotonic() < deadline:
            dispatcher.tick()
            pause.wait(0.02)
    finally:
        _kill_all(workspace)
    assert [run.state().state for run in runs] == ["done", "done"], [run.state() for run in runs]
    one, two = (_told(run) for run in runs)
    assert len(one["metric"]) > 10
    for ours, theirs in zip(two["metric"], one["metric"], strict=True):
        assert ours.keys() == theirs.keys()
        assert {k: v for k, v in ours.items() if k in ("loss", "valid_loss", "flops", "grad_norm")} == pytest.approx(
            {k: v for k, v in theirs.items() if k in ("loss", "valid_loss", "flops", "grad_norm")}, rel=TOLERANCE
        )
    assert two["sum_loss"] == pytest.approx(one["sum_loss"], rel=TOLERANCE)
    assert len(two["sum_loss"]) == 2
    for state in ("ptpp0.3", "ptpp0.5"):
        ours, theirs = (_weights(run.checkpoint(state)) for run in (runs[1], runs[0]))
        assert ours.keys() == theirs.keys()
        for name in theirs:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)


def _queue(workspace: Workspace, run_id: str, job: PretrainJob, processes: int) -> RunDir:
    resources = Resources(processes=processes)
    spec = RunSpec(run_id=run_id, name=run_id, experiment="test", resources=resources, job=job)
    run = create_run(workspace, spec.model_dump(mode="json"))
    write_ticket(workspace, Ticket(run_id, 0.0, 1.0))
    return run


def _told(run: RunDir) -> dict[str, list[Any]]:
    events, _ = read_events(run.attempt(1).events)
    return {
        "metric": [event["values"] for event in events if event["event"] == "metric"],
        "sum_loss": [event["sum_loss"] for event in events if event["event"] == "evaluation"],
    }


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def _kill_all(workspace: Workspace) -> None:
    for process in psutil.process_iter(["cmdline"]):
        if str(workspace.root) in (process.info["cmdline"] or []):
            process.kill()
