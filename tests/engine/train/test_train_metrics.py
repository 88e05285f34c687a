"""What training says of itself: work by hand computation, and why it ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.evaluate.losses import per_token_losses
from engine.models.adapter import attach_method
from engine.models.count import count_parameters
from engine.plan.schedule import Schedule
from engine.spec.run import Method, Scheme, Training
from engine.train.loop import Trainer
from engine.train.validation import cut_windows
from store.errors import OdysseyError

RATES = Schedule(peak=3e-3, warmup=8)


def _training(**changes: Any) -> Training:
    return Training(**{"lr": 3e-3, "sequence": 16, "batch_sequences": 4, "log_every": 1, **changes})


def _ignore(tokens: int) -> None:
    pass


def _flops(report: Any) -> list[float]:
    return [metric["flops"] for metric in report.metrics if "flops" in metric]


def test_flops_of_training_every_weight(make_decoder, noise, recorder) -> None:
    report, decoder = recorder(), make_decoder()
    n_params = sum(p.numel() for p in decoder.model.parameters())
    Trainer(decoder, _training(), noise, report).train(10, RATES, "trunk", _ignore)
    assert _flops(report) == [6.0 * n_params * sequences * 16 for sequences in (4, 8, 10)]
    assert all("mfu" not in metric for metric in report.metrics)


def test_flops_of_adapters_and_validation(make_decoder, noise, recorder) -> None:
    report, decoder = recorder(), make_decoder()
    n_params = sum(p.numel() for p in decoder.model.parameters())
    attach_method(decoder.model, Method(name="lora", rank=2))
    trained = count_parameters(decoder.model).trained
    trainer = Trainer(
        decoder, _training(validate_every=2), noise, report, held_out=(noise.batch(100, 3), noise.batch(200, 2)[:, :9])
    )
    trainer.train(12, RATES, "trunk", _ignore)
    # Held-out text is scored after the second step, so the third step's line holds it.
    scored = 3 * 16 + 2 * 9
    per_token = 4 * n_params + 2 * trained
    assert _flops(report) == [per_token * 64, per_token * 128, per_token * 192 + 2 * n_params * scored]


def test_a_branch_that_is_discarded_has_cost_its_work(make_decoder, noise, recorder) -> None:
    report = recorder()
    trainer = Trainer(make_decoder(), _training(), noise, report)
    trainer.train(4, RATES, "trunk", _ignore)
    trunk = trainer.state()
    trainer.train(8, RATES, "a", _ignore)
    trainer.restore(trunk)
    trainer.train(8, RATES, "trunk", _ignore)
    first, branch, again = _flops(report)
    assert (branch, again) == (2 * first, 3 * first)


def test_validation_is_the_mean_loss_and_leaves_training_alone(make_decoder, noise, recorder) -> None:
    held_out = (noise.batch(500, 5), noise.batch(600, 2)[:, :7])
    reports = {}
    for every in (0, 2):
        reports[every] = recorder()
        decoder = make_decoder()
        torch.manual_seed(3)
        attach_method(decoder.model, Method(name="lora", rank=2, dropout=0.5))
        chosen = held_out if every else ()
        training = _training(validate_every=every, batch_sequences=2, accumulate=2)
        Trainer(decoder, training, noise, reports[every], held_out=chosen).train(16, RATES, "trunk", _ignore)
    validated = [m for m in reports[2].metrics if "valid_loss" in m]
    assert [(m["step"], m["tokens"]) for m in validated] == [(2, 128), (4, 256)]
    trained = [{k: v for k, v in m.items() if k != "flops"} for m in reports[2].metrics if "loss" in m]
    assert trained == [{k: v for k, v in m.items() if k != "flops"} for m in reports[0].metrics]
    rows = [row for windows in held_out for row in windows]
    losses = np.concatenate([per_token_losses(decoder, row, Scheme(window=16)) for row in rows])
    assert validated[-1]["valid_loss"] == pytest.approx(np.nanmean(losses), rel=1e-5)


class Stream:
    def __init__(self, length: int) -> None:
        self.tokens = np.arange(length, dtype=np.uint16)

    def __len__(self) -> int:
        return len(self.tokens)


def test_windows_lie_evenly_over_the_held_out_text() -> None:
    windows = cut_windows(Stream(100), sequence=10, tokens=39)
    assert windows is not None
    assert windows.dtype == np.int64
    assert windows[:, 0].tolist() == [0, 30, 60]
    assert (windows[:, -1] - windows[:, 0]).tolist() == [9, 9, 9]
    assert cut_windows(Stream(7), sequence=10, tokens=100).tolist() == [list(range(7))]
    assert cut_windows(Stream(100), sequence=10, tokens=4).tolist() == [[0, 1, 2, 3]]
    assert cut_windows(Stream(1), sequence=10, tokens=100) is None
    assert cut_windows(Stream(100), sequence=10, tokens=1) is None


def test_a_loss_that_is_not_finite_says_where_and_what_to_change(make_decoder, noise, recorder) -> None:
    report = recorder()
    trainer = Trainer(make_decoder(), _training(log_every=4, precision="bf16"), noise, report)
    trainer.train(8, RATES, "trunk", _ignore)
    with torch.no_grad():
        next(iter(trainer.decoder.model.parameters())).fill_(float("nan"))
    with pytest.raises(OdysseyError) as failure:
        trainer.train(40, RATES, "trunk", _ignore)
    losses = report.metrics[0]["loss"] * 2
    assert failure.value.message.startswith(
        "the loss became nan at step 3, at a learning rate of 0.003; the last finite"
    )
    last = float(failure.value.message.split("loss was ")[1].split(" at step 2")[0])
    assert 0 < last < losses
    for word in (
        "training.lr",
        "training.warmup_share",
        "training.precision: fp32",
        "the last checkpoint, which is kept",
    ):
        assert word in failure.value.hint


def test_a_gradient_that_is_not_finite_is_found_before_it_is_saved(make_decoder, noise, recorder) -> None:
    trainer = Trainer(make_decoder(), _training(log_every=100), noise, recorder())
    trainer.train(8, RATES, "trunk", _ignore)
    norm = torch.nn.utils.clip_grad_norm_
    spoiled: list[int] = []

    def spoil(parameters: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        spoiled.append(len(spoiled))
        parameters[0].grad.fill_(float("inf"))
        return norm(parameters, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", spoil)
        with pytest.raises(OdysseyError, match=r"the gradient's norm became (inf|nan) at step 3, at a learning rate"):
            trainer.train(9, RATES, "trunk", lambda tokens: trainer.check_finite())
    assert spoiled == [0]


def test_a_host_without_memory_is_explained(make_decoder, noise, recorder, monkeypatch) -> None:
    trainer = Trainer(make_decoder(), _training(), noise, recorder())
    monkeypatch.setattr("engine.train.causal_loss.summed_loss", lambda *_: torch.empty(1 << 60))
    with pytest.raises(OdysseyError, match="the machine ran out of memory: can't allocate memory") as failure:
        trainer.train(4, RATES, "trunk", _ignore)
    assert "batch_sequences" in failure.value.hint
    assert "activation_checkpointing" in failure.value.hint
