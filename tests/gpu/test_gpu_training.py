"""Training on a GPU: steps that wait for nothing, recomputed layers, going on from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.plan.schedule import Schedule
from engine.spec.run import Architecture, Training
from engine.train.loop import Trainer
from engine.train.resume import load_resume, save_resume

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
RATES = Schedule(peak=1e-3, warmup=8)


class Lines:
    """A report that keeps its metrics."""

    def __init__(self) -> None:
        self.values: list[dict[str, float]] = []

    def metric(self, step: int, tokens: int, branch: str, **values: float) -> None:
        self.values.append(values)

    @property
    def losses(self) -> list[float]:
        return [values["loss"] for values in self.values]


class Noise:
    def batch(self, first: int, count: int) -> np.ndarray:
        return np.stack([np.random.default_rng(k).integers(0, 500, 64) for k in range(first, first + count)])


def _trainer(report: Lines, **changes: Any) -> Trainer:
    shape = Architecture(family="llama", n_layer=8, n_embd=64, n_head=2, context=64)
    decoder = Decoder(build_model(shape, 500, seed=0).to("cuda"), plain=True)
    options = {"lr": 1e-3, "sequence": 64, "batch_sequences": 16, "accumulate": 1, "precision": "bf16", "log_every": 1}
    return Trainer(decoder, Training(**{**options, **changes}), Noise(), report)


def test_no_step_waits_for_the_device() -> None:
    trainer = _trainer(Lines(), log_every=1000)
    trainer.train(32, RATES, "trunk", lambda tokens: None)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer._step(16, 1e-3)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_recomputed_layers_take_less_memory_for_the_same_losses() -> None:
    plain, recomputed = Lines(), Lines()
    _trainer(plain).train(48, RATES, "trunk", lambda tokens: None)
    _trainer(recomputed, activation_checkpointing=True).train(48, RATES, "trunk", lambda tokens: None)
    assert recomputed.losses == pytest.approx(plain.losses, rel=1e-3)
    assert recomputed.values[-1]["memory_bytes"] < plain.values[-1]["memory_bytes"]


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole, first, second = Lines(), Lines(), Lines()
    _trainer(whole).train(96, RATES, "trunk", lambda tokens: None)
    begun = _trainer(first)
    begun.train(48, RATES, "trunk", lambda tokens: None)
    save_resume(tmp_path, {"trainer": begun.state()})
    resumed = _trainer(second)
    saved = load_resume(tmp_path, pytest.fail)
    assert saved is not None
    resumed.restore(saved["trainer"])
    resumed.train(96, RATES, "trunk", lambda tokens: None)
    assert first.losses + second.losses == pytest.approx(whole.losses, rel=1e-3)
