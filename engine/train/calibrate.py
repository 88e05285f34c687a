"""How fast this machine trains: a few steps on random tokens, in a process of its own.

``python -m engine.train.calibrate`` reads ``{"cases": […], "seconds": s, "threads": n}`` from stdin and prints the
training tokens per second of each case. Random weights and tokens take as long as any others.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch

from engine.models.adapter import attach_method
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.load import speed_up
from engine.report import Silent
from engine.spec.run import Architecture, Method, Model, Training
from engine.train.loop import Trainer

WARM_STEPS, LEAST_STEPS = 2, 3
"""Steps that are not timed (memory is touched, kernels chosen), and steps that are at the least."""


class Noise:
    """Random sequences."""

    def __init__(self, length: int, vocabulary: int) -> None:
        self._length, self._vocabulary = length, vocabulary

    def batch(self, first: int, count: int) -> np.ndarray:
        return np.random.default_rng(first).integers(0, self._vocabulary, (count, self._length))


class _Still:
    """A rate that changes nothing."""

    def rate(self, position: float) -> float:
        return 0.0


def measure(case: dict[str, Any], seconds: float, device: str) -> float:
    """Training tokens per second of a case: architecture or model, vocabulary, training, method."""
    training = Training(lr=1e-3, **case["training"])
    if "architecture" in case:
        decoder_model = build_model(Architecture(**case["architecture"]), case["vocabulary"], seed=0).to(device)
        decoder = Decoder(decoder_model, plain=True)
    else:
        decoder = Decoder.of(_random_copy(Model(**case["model"])).to(device))
    attach_method(decoder.model, Method(**(case["method"] or {})))
    source = Noise(training.sequence, case["vocabulary"] or decoder.vocab_size)
    trainer = Trainer(decoder, training, source, Silent(attempt=1))
    step = training.batch_sequences * training.accumulate
    trainer.train(WARM_STEPS * step, _Still(), "trunk", lambda tokens: None)
    started, first = time.perf_counter(), trainer.position
    while time.perf_counter() - started < seconds or trainer.position - first < LEAST_STEPS * step:
        trainer.train(trainer.position + step, _Still(), "trunk", lambda tokens: None)
    return (trainer.position - first) * training.sequence / (time.perf_counter() - started)


def _random_copy(model: Model) -> Any:
    """A model of the same architecture with random weights: nothing but the configuration is read."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(
        model.source, revision=model.revision, trust_remote_code=model.trust_remote_code
    )
    copy = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    speed_up(copy)
    return copy


def main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(json.dumps([measure(case, request["seconds"], device) for case in request["cases"]]))


if __name__ == "__main__":
    main()
