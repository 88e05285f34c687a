"""Train two steps in this process and print the memory it took: ``python -m tests.support.peak_memory JSON``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from engine.models.adapter import attach_method
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.report import Silent
from engine.spec.run import Architecture, Method, Training
from engine.train.calibrate import Noise
from engine.train.loop import Trainer


class _Rate:
    def rate(self, position: float) -> float:
        return 1e-4


def train(architecture: Architecture, vocabulary: int, training: Training, method: Method, trunk: bool) -> None:
    """Two steps; with ``trunk`` the state is kept between them and gone back to."""
    model = build_model(architecture, vocabulary, seed=0)
    attach_method(model, method)
    trainer = Trainer(Decoder(model, plain=True), training, Noise(training.sequence, vocabulary), Silent(attempt=1))
    step = training.batch_sequences * training.accumulate
    trainer.train(step, _Rate(), "trunk", lambda tokens: None)
    kept = trainer.state() if trunk else None
    trainer.train(2 * step, _Rate(), "atpp1", lambda tokens: None)
    if kept:
        trainer.restore(kept)


def main() -> None:
    torch.set_num_threads(1)
    case = json.loads(sys.argv[1])
    architecture, training = Architecture(**case["architecture"]), Training(**case["training"])
    method = Method(**case["method"])
    # What importing and first calls take is not the model's.
    small = architecture.model_copy(update={"n_layer": 1, "n_embd": 8, "n_head": 1})
    train(small, 300, training.model_copy(update={"sequence": 8, "batch_sequences": 1}), method, case["trunk"])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    train(architecture, case["vocabulary"], training, method, case["trunk"])
    print(json.dumps({"before": before, "took": resident("VmHWM") - before}))


def resident(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
