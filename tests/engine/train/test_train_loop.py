"""The training loop against the same steps written out with plain transformers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from engine.plan.schedule import Schedule
from engine.spec.run import Training
from engine.train.loop import Trainer
from store.errors import OdysseyError


def _training(**changes: Any) -> Training:
    return Training(**{"lr": 3e-3, "sequence": 16, "batch_sequences": 4, "log_every": 1, **changes})


def _ignore(tokens: int) -> None:
    pass


CONSTANT = Schedule(peak=3e-3, warmup=8)


def test_steps_equal_plain_transformers(make_decoder, noise, recorder) -> None:
    report = recorder()
    trained = make_decoder()
    Trainer(trained, _training(clip=0.5, weight_decay=0.3), noise, report).train(18, CONSTANT, "trunk", _ignore)

    model = make_decoder().model
    parameters = list(model.parameters())
    decay = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.3}]
    rest = [{"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(decay + rest, betas=(0.9, 0.95))
    expected = []
    for first, count in ((0, 4), (4, 4), (8, 4), (12, 4), (16, 2)):
        tokens = torch.from_numpy(noise.batch(first, count))
        loss = model(tokens, labels=tokens).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (first + count / 2) / 8)
        optimizer.step()
        optimizer.zero_grad()
        expected.append((loss.item(), norm.item(), optimizer.param_groups[0]["lr"]))
    found = [(metric["loss"], metric["grad_norm"], metric["lr"]) for metric in report.metrics]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for ours, theirs in zip(trained.model.parameters(), model.parameters(), strict=True):
        # A gradient near zero leaves Adam's ratio to rounding; a step at the peak rate moves a weight by 3e-3.
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert report.metrics[-1]["tokens"] == 18 * 16


def test_accumulation_takes_the_same_steps(make_decoder, noise, recorder) -> None:
    whole, parts = recorder(), recorder()
    one, two = make_decoder(), make_decoder()
    Trainer(one, _training(batch_sequences=6), noise, whole).train(15, CONSTANT, "trunk", _ignore)
    Trainer(two, _training(batch_sequences=2, accumulate=3), noise, parts).train(15, CONSTANT, "trunk", _ignore)
    assert [m["step"] for m in parts.metrics] == [1, 2, 3]
    for a, b in zip(whole.metrics, parts.metrics, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-4)


def test_a_logged_loss_is_the_mean_since_the_last_one(make_decoder, noise, recorder) -> None:
    every, third = recorder(), recorder()
    Trainer(make_decoder(), _training(), noise, every).train(28, CONSTANT, "trunk", _ignore)
    Trainer(make_decoder(), _training(log_every=3), noise, third).train(28, CONSTANT, "trunk", _ignore)
    losses = [metric["loss"] for metric in every.metrics]
    assert [metric["step"] for metric in third.metrics] == [3, 6, 7]
    expected = [sum(losses[:3]) / 3, sum(losses[3:6]) / 3, losses[6]]
    assert [metric["loss"] for metric in third.metrics] == pytest.approx(expected, rel=1e-12)


def test_training_learns_and_bfloat16_follows(make_decoder, recorder) -> None:
    class Repeated:
        def batch(self, first: int, count: int) -> np.ndarray:
            return np.tile(np.arange(16, dtype=np.int64), (count, 1))

    final = {}
    for precision in ("fp32", "bf16"):
        report = recorder()
        trainer = Trainer(make_decoder(), _training(lr=1e-2, precision=precision), Repeated(), report)
        trainer.train(160, Schedule(1e-2, warmup=8), "trunk", _ignore)
        assert report.metrics[0]["loss"] == pytest.approx(math.log(50), abs=0.1)
        assert report.metrics[-1]["loss"] < 1.0
        final[precision] = report.metrics[-1]["loss"]
    assert final["bf16"] == pytest.approx(final["fp32"], abs=0.05)


def test_restoring_a_state_repeats_the_same_losses(make_decoder, noise, recorder) -> None:
    report = recorder()
    trainer = Trainer(make_decoder(), _training(), noise, report)
    trainer.train(8, CONSTANT, "trunk", _ignore)
    state = trainer.state()
    for branch in ("a", "b"):
        trainer.train(20, CONSTANT, branch, _ignore)
        trainer.restore(state)
    first, second = ([m["loss"] for m in report.metrics if m["branch"] == branch] for branch in ("a", "b"))
    assert len(first) == 3
    assert first == second
    assert (trainer.position, trainer.steps) == (8, 2)


def test_a_loss_that_is_not_finite_stops_the_run(make_decoder, noise, recorder) -> None:
    trainer = Trainer(make_decoder(), _training(log_every=4), noise, recorder())
    trainer.train(8, CONSTANT, "trunk", _ignore)
    with torch.no_grad():
        next(iter(trainer.decoder.model.parameters())).fill_(float("nan"))
    with pytest.raises(OdysseyError, match="the loss became nan at step 3") as failure:
        trainer.train(40, CONSTANT, "trunk", _ignore)
    assert "training.lr" in failure.value.hint


def test_a_device_without_memory_is_explained(make_decoder, noise, recorder, monkeypatch) -> None:
    def exhausted(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    trainer = Trainer(make_decoder(), _training(), noise, recorder())
    monkeypatch.setattr("engine.train.causal_loss.summed_loss", exhausted)
    with pytest.raises(OdysseyError, match="ran out of memory") as failure:
        trainer.train(4, CONSTANT, "trunk", _ignore)
    assert "batch_sequences" in failure.value.hint
