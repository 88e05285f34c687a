"""Going on from any checkpoint equals never having stopped, bit for bit; a damaged checkpoint costs an interval."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.launch.dispatcher import Dispatcher
from engine.launch.mailbox import Slot
from engine.launch.tickets import Ticket, write_ticket
from engine.models.adapter import attach_method
from engine.models.reference import reference_of
from engine.plan.trajectory import plan_trajectory
from engine.report import StopRequested
from engine.spec.run import (
    Architecture,
    Corpus,
    EvalSet,
    Evaluation,
    Method,
    PretrainJob,
    RunSpec,
    Scheme,
    Tokenizer,
    Training,
)
from engine.train.batch import PLAIN, Batch
from engine.train.loop import Trainer
from engine.train.resume import FILE, PREVIOUS, save_resume
from engine.train.voyage import Voyage
from store.errors import DataError, WorkspaceError
from store.journal import read_events
from store.run_dir import RunDir, create_run
from store.workspace import Workspace

EVALUATED = 90


@dataclass(frozen=True)
class Masked:
    """Some targets left out, some weighed, some held to the base model's prediction."""

    reference: Any

    def prepare(self, tokens: np.ndarray) -> Batch:
        targets = tokens[:, 1:]
        weights = np.select([targets % 5 == 0, targets % 5 == 1], [0.0, 0.5], 1.0).astype(np.float32)
        held = (targets % 5 == 0) & (targets % 2 == 0)
        return Batch(tokens, weights, 0.7 * held.astype(np.float32), None, int(((weights > 0) | held).sum()))


@dataclass
class Passage:
    """What one run handed over: states at its points, and metrics."""

    report: Any
    states: dict[str, torch.Tensor] = field(default_factory=dict)


def _sail(
    folder: Path, make_decoder, source, report, budgets=(1, 2, 3.5), *, method="full", masked=False, **changes: Any
) -> Passage:
    training = Training(
        **{"lr": 3e-3, "sequence": 16, "batch_sequences": 4, "log_every": 3, "anneal_share": 0.5, **changes}
    )
    trajectory = plan_trajectory("atpp", budgets, 16 * 24, training)
    decoder = make_decoder()
    torch.manual_seed(11)
    attach_method(decoder.model, Method(name=method, rank=2, dropout=0.2))
    objective = Masked(reference_of(decoder)) if masked else PLAIN
    held_out = (source.batch(900, 3),) if training.validate_every else ()
    trainer = Trainer(decoder, training, source, report, objective=objective, held_out=held_out)
    passage = Passage(report)

    def finish(point, pulse) -> None:
        for _ in range(3):
            pulse(EVALUATED // 3)
        trained = [p.detach().flatten() for p in decoder.model.parameters() if p.requires_grad]
        passage.states[point.state] = torch.cat(trained).clone()

    Voyage(trainer, trajectory, report, folder).follow(finish, EVALUATED)
    return passage


@pytest.fixture
def at_every_pulse(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options with which a checkpoint is written after every step and every evaluated batch."""
    monkeypatch.setattr("engine.train.voyage.SAVING_SHARE", math.inf)
    return {"checkpoint_every_s": 1e-9}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate": 2, "batch_sequences": 2, "validate_every": 2, "anneal_shape": "sqrt", "schedule": "wsd"},
        {"method": "lora", "masked": True, "activation_checkpointing": True, "validate_every": 3},
        {"method": "dora", "batch_sequences": 2, "accumulate": 3, "schedule": "infinite", "precision": "bf16"},
    ],
    ids=["plain", "accumulated and validated", "masked adapter, recomputed", "infinite in bfloat16"],
)
def test_any_checkpoint_leads_to_the_same_end(
    tmp_path: Path, make_decoder, noise, recorder, monkeypatch, at_every_pulse, options: dict[str, Any]
) -> None:
    whole = recorder()
    kept: list[tuple[Path, int]] = []

    def keep(folder: Path, content: dict[str, Any]) -> None:
        save_resume(folder, content)
        copy = tmp_path / str(len(kept))
        copy.mkdir()
        shutil.copy(folder / FILE, copy / FILE)
        kept.append((copy, len(whole.metrics)))

    with monkeypatch.context() as patch:
        patch.setattr("engine.train.voyage.save_resume", keep)
        expected = _sail(tmp_path / "whole", make_decoder, noise, whole, **at_every_pulse, **options)
    assert len(kept) > 25
    # All of them take a minute; neighbours of every third one differ by a step.
    for copy, logged in kept[1::3]:
        found = _sail(copy, make_decoder, noise, recorder(), **options)
        assert found.report.metrics == whole.metrics[logged:], copy.name
        assert all(torch.equal(state, expected.states[name]) for name, state in found.states.items())
        assert found.states.keys() >= {"atpp3.5"}
        assert found.report.done == found.report.total


def test_where_a_run_went_on_is_recorded(tmp_path: Path, make_decoder, noise, recorder) -> None:
    folder = tmp_path / "resume"
    stopped = recorder(9)
    stopped.attempt = 3
    with pytest.raises(StopRequested):
        _sail(folder, make_decoder, noise, stopped)
    assert "resumed" not in dict(stopped.events)
    again = recorder()
    again.attempt = 5
    _sail(folder, make_decoder, noise, again)
    # Four steps of trunk, two of the branch to the first budget, three batches of evaluation.
    assert again.events[0] == ("resumed", {"state": "atpp1", "step": 6, "tokens": 24 * 16, "from_attempt": 3})
    assert [name for name, _ in again.events] == ["resumed"]


@pytest.mark.parametrize("damage", ["torn", "one bit"])
def test_a_damaged_checkpoint_costs_an_interval(
    tmp_path: Path, make_decoder, noise, recorder, at_every_pulse, damage: str
) -> None:
    expected = _sail(tmp_path / "whole", make_decoder, noise, recorder())
    folder = tmp_path / "resume"
    with pytest.raises(StopRequested):
        _sail(folder, make_decoder, noise, recorder(12), **at_every_pulse)
    content = bytearray((folder / FILE).read_bytes())
    if damage == "torn":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    (folder / FILE).write_bytes(content)
    found = _sail(folder, make_decoder, noise, recorder())
    (name, warning), (resumed, _) = found.report.events
    assert (name, resumed) == ("warning", "resumed")
    assert f"{folder / FILE}" in warning["message"]
    assert "goes on from the checkpoint before it" in warning["message"]
    assert all(torch.equal(found.states[state], expected.states[state]) for state in found.states)
    assert found.states.keys() >= {"atpp3.5"}


def test_without_a_whole_checkpoint_nothing_is_guessed(tmp_path: Path, make_decoder, noise, recorder) -> None:
    for name in (FILE, PREVIOUS):
        (tmp_path / name).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match=r"cannot read the checkpoint .*previous\.pt") as failure:
        _sail(tmp_path, make_decoder, noise, recorder())
    assert failure.value.hint == f"Delete {tmp_path} to start the run over."


def test_a_full_disk_leaves_the_checkpoints_as_they_were(tmp_path: Path, monkeypatch) -> None:
    for steps in (1, 2):
        save_resume(tmp_path, {"steps": steps})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == {FILE, PREVIOUS}

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WorkspaceError, match="No space left on device"):
        save_resume(tmp_path, {"steps": 3})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_checkpoints_that_take_long_are_written_less_often(tmp_path: Path, make_decoder, noise, recorder, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("engine.train.voyage.time.monotonic", lambda: clock[0])
    saved: list[float] = []

    def slow(folder: Path, content: dict[str, Any]) -> None:
        saved.append(clock[0])
        clock[0] += 1.0

    class Ticking(type(noise)):
        def batch(self, first: int, count: int) -> np.ndarray:
            clock[0] += 1.0
            return super().batch(first, count)

    monkeypatch.setattr("engine.train.voyage.save_resume", slow)
    _sail(tmp_path, make_decoder, Ticking(), recorder(), checkpoint_every_s=5.0)
    assert saved[0] == 6.0
    assert {later - earlier for earlier, later in itertools.pairwise(saved)} == {22.0}


@pytest.mark.parametrize(
    "options", [{"schedule": "constant"}, {"schedule": "wsd", "method": "lora", "min_lr_share": 0.1}]
)
def test_a_state_is_the_same_on_a_shared_trajectory_and_alone(
    tmp_path: Path, make_decoder, noise, recorder, options: dict[str, Any]
) -> None:
    """With warm-up in tokens; budgets of 24, 48 and 84 sequences, the last not a whole number of steps."""
    options = {"warmup_tokens": 16 * 10, "anneal_shape": "cosine", **options}
    shared = _sail(tmp_path / "shared", make_decoder, noise, recorder(), (1, 2, 3.6), **options)
    assert len(shared.states) == 3
    for budget in (1, 2, 3.6):
        alone = _sail(tmp_path / "alone", make_decoder, noise, recorder(), (budget,), **options)
        ((name, state),) = alone.states.items()
        assert torch.equal(state, shared.states[name])
        ends = [m for m in shared.report.metrics if m["branch"] == name]
        assert ends[-1]["loss"] == alone.report.metrics[-1]["loss"]


class Yard:
    """A workspace with one worker of its own, and waiting for what runs write."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace.create(folder / "workspace")
        self._dispatcher = Dispatcher(self.workspace, [Slot("cpu0", None, 1)])

    def queue(self, run_id: str, job: PretrainJob) -> RunDir:
        spec = RunSpec(run_id=run_id, name=run_id, experiment="test", job=job)
        run = create_run(self.workspace, spec.model_dump(mode="json"))
        write_ticket(self.workspace, Ticket(run_id, 0.0, 1.0))
        return run

    def watch(self, run: RunDir, attempt: int, *events: str) -> dict[str, Any]:
        """The first of ``events`` that the attempt writes."""
        deadline, pause = time.monotonic() + 120, threading.Event()
        while time.monotonic() < deadline:
            self._dispatcher.tick()
            path = run.attempt(attempt).events
            for event in read_events(path)[0] if path.exists() else ():
                if event["event"] in events:
                    return event
            pause.wait(0.01)
        raise AssertionError(f"waited in vain for {events} of attempt {attempt}: {run.state()}")

    def close(self) -> None:
        for card in self.workspace.workers.glob("*/worker.json"):
            self._kill(card)

    def _kill(self, card: Path) -> None:
        os.kill(json.loads(card.read_text())["identity"]["pid"], signal.SIGKILL)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path)
    yield yard
    yard.close()


def _metrics(run: RunDir, attempt: int, name: str) -> dict[tuple[str, int], float]:
    events = read_events(run.attempt(attempt).events)[0]
    return {
        (e["branch"], e["step"]): e["values"][name] for e in events if e["event"] == "metric" and name in e["values"]
    }


def _weights(run: RunDir) -> bytes:
    return (run.checkpoint("ptpp4") / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_worker_killed_on_the_spot_is_replaced_and_loses_nothing(tmp_path: Path, yard: Yard) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for document in range(40):
        (folder / f"{document}.txt").write_text(" ".join(map(str, draw.integers(0, 60, 600))))
    corpus = Corpus(name="text", source=str(folder), test_share=0.1, valid_share=0.1)
    training = Training(
        **{"lr": 3e-3, "sequence": 32, "batch_sequences": 4, "accumulate": 2, "log_every": 5},
        **{"validate_every": 20, "validate_tokens": 500, "checkpoint_every_s": 0.02},
    )
    job = PretrainJob(
        size="xs",
        architecture=Architecture(n_layer=1, n_embd=16, n_head=2, context=32),
        tokenizer=Tokenizer(train_on=(corpus,), vocab_size=300),
        corpora=(corpus,),
        ptpp=(1, 4),
        training=training,
        evaluation=Evaluation(
            sets=(EvalSet(name="text", role="base", corpora=(corpus,), max_tokens=500),), scheme=Scheme(window=32)
        ),
    )
    killed, whole = yard.queue("killed", job), yard.queue("whole", job)
    worker = yard.watch(killed, 1, "starting")["pid"]
    assert yard.watch(killed, 1, "metric", "failed")["event"] == "metric"
    assert yard.watch(killed, 1, "checkpoint", "failed")["state"] == "resume"
    os.kill(worker, signal.SIGKILL)
    resumed = yard.watch(killed, 2, "resumed", "failed", "done")
    assert resumed["event"] == "resumed"
    assert resumed["from_attempt"] == 1
    assert resumed["tokens"] == resumed["step"] * 256 > 0
    assert yard.watch(killed, 2, "failed", "done")["event"] == "done"
    assert yard.watch(whole, 1, "failed", "done")["event"] == "done"
    for name in ("loss", "valid_loss", "lr", "grad_norm", "flops"):
        expected = _metrics(whole, 1, name)
        before, after = _metrics(killed, 1, name), _metrics(killed, 2, name)
        assert before or name == "valid_loss"
        assert {**before, **after} == expected
        assert all(expected[key] == value for key, value in before.items())
    assert _weights(killed) == _weights(whole)
