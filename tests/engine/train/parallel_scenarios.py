"""What the processes of a group do in the tests, started by torchrun: OUT. The first writes ``results.json`` there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

import numpy as np
import torch

from engine.evaluate.losses import per_token_losses
from engine.models.adapter import attach_method, merged_weights
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.reference import reference_of
from engine.plan.schedule import Schedule
from engine.plan.trajectory import plan_trajectory
from engine.report import StopRequested
from engine.spec.run import Architecture, Method, Scheme, Training
from engine.train.batch import PLAIN, Batch, Objective
from engine.train.group import Group, find_group
from engine.train.loop import Trainer
from engine.train.objective import Masked, TargetTable
from engine.train.voyage import Voyage
from tests.engine.train.conftest import Noise, Recorder, fresh_decoder

CONSTANT = Schedule(peak=3e-3, warmup=8)
SEQUENCES = 65
"""Steps of 6: eleven, the last of 5."""
STOPS = (2, 9, 11)
"""Pulses after which a trajectory is stopped: on the trunk, and while each state is evaluated."""
VARIANTS: dict[str, dict[str, Any]] = {
    "one part a step": {"batch_sequences": 6},
    "accumulated": {"batch_sequences": 2, "accumulate": 3},
}


class Uneven:
    """Leaves out most targets of the first rows of a step and weighs the rest: processes hold different numbers."""

    reference = None

    def prepare(self, tokens: np.ndarray) -> Batch:
        weights = np.where(tokens[:, 1:] < 5 + tokens[:, :1], 0.0, 0.5).astype(np.float32)
        return Batch(tokens, weights, None, None, int((weights > 0).sum()))


def training(**changes: Any) -> Training:
    return Training(**{"lr": 3e-3, "sequence": 16, "batch_sequences": 6, "log_every": 1, "clip": 0.5, **changes})


def llama() -> Decoder:
    """Untied, with buffers that no file holds."""
    architecture = Architecture(family="llama", n_layer=2, n_embd=16, n_head=2, context=16)
    return Decoder(build_model(architecture, 50, seed=0), plain=True)


def lora() -> Decoder:
    decoder = fresh_decoder()
    torch.manual_seed(1)
    attach_method(decoder.model, Method(name="lora", rank=4))
    return decoder


DECODERS: dict[str, Callable[[], Decoder]] = {"tied": fresh_decoder, "untied": llama, "lora": lora}


def held(decoder: Decoder) -> Masked:
    """Holds a third of the vocabulary to the base, leaves a token out, and keeps documents apart."""
    table = TargetTable(np.ones(50, np.float32), np.zeros(50, np.float32))
    table.weights[:18] = 0
    table.divergence[:17] = 0.7
    return Masked(table, 30, reference_of(decoder))


def train(
    kind: str, variant: str, group: Group, objective: Callable[[Decoder], Objective] = lambda _: PLAIN
) -> dict[str, Any]:
    """Metrics of eleven steps, the losses of a text afterwards, and the weights as they would be saved."""
    report, decoder = Recorder(), DECODERS[kind]()
    trainer = Trainer(
        decoder, training(**VARIANTS[variant]), Noise(), report, objective=objective(decoder), group=group
    )
    trainer.train(SEQUENCES, CONSTANT, "trunk", lambda tokens: None)
    text = np.random.default_rng(0).integers(0, 50, 100)
    pulses: list[int] = []
    with trainer.opened():
        scheme = Scheme(kind="strided", window=16, stride=8)
        losses = per_token_losses(decoder, text, scheme, batch_tokens=32, pulse=pulses.append, group=group)
        with group.assembled(decoder.model) as first:
            saved = merged_weights(decoder.model) if first else {}
    metrics = [{name: m[name] for name in ("loss", "grad_norm", "lr")} for m in report.metrics]
    return {
        "metrics": metrics,
        "divergence": report.metrics[-1].get("divergence"),
        "losses": np.nan_to_num(losses, nan=-1).tolist(),
        "weights": {name: float(weight.double().square().sum()) for name, weight in saved.items()},
        "scored": sum(pulses),
    }


def sail(folder: Path, group: Group, *, stop_after: int | None = None, kind: str = "tied") -> dict[str, Any]:
    """A trajectory of two annealed points, resumed if ``folder`` holds a checkpoint; only the first process is asked
    to stop."""
    report = Recorder(stop_after if group.rank == 0 else None)
    settings = training(batch_sequences=4)
    trainer = Trainer(DECODERS[kind](), settings, Noise(), report, group=group)
    voyage = Voyage(trainer, plan_trajectory("tokens", (480, 960), 1, settings), report, folder)
    seen: list[str] = []

    def evaluate(point: Any, pulse: Callable[[int], None]) -> None:
        for _ in range(2):
            tokens = np.random.default_rng(0).integers(0, 50, 40)
            losses = per_token_losses(trainer.decoder, tokens, Scheme(window=16), pulse=pulse, group=group)
        seen.append(f"{point.state} {np.nansum(losses):.4f}")

    stopped = False
    try:
        voyage.follow(evaluate, 80)
    except StopRequested:
        stopped = True
    lines = [[m["branch"], m["step"], m["loss"]] for m in report.metrics if "loss" in m]
    return {"lines": lines, "seen": seen, "stopped": stopped, "step": trainer.steps}


def compare(out: Path) -> dict[str, Any]:
    """Everything, in the order in which all processes go through it."""
    results: dict[str, Any] = {}
    for sharding in ("none", "full"):
        group = find_group(sharding)
        for kind in DECODERS:
            for variant in VARIANTS:
                results[f"{sharding} {kind} {variant}"] = train(kind, variant, find_group(sharding))
        results[f"{sharding} uneven"] = train("tied", "accumulated", find_group(sharding), lambda _: Uneven())
        for kind in ("tied", "lora"):
            results[f"{sharding} {kind} held"] = train(kind, "accumulated", find_group(sharding), held)
        for kind in ("tied", "lora"):
            folder = out / f"{sharding}-{kind}"
            results[f"{sharding} {kind} whole"] = sail(folder / "whole", find_group(sharding), kind=kind)
            for stop in STOPS:
                first = sail(folder / str(stop), find_group(sharding), stop_after=stop, kind=kind)
                ended = group.every(torch.tensor([first["step"], first["stopped"]]))
                if group.rank == 0:
                    shutil.copytree(folder / str(stop), folder / f"{stop}-alone")
                second = sail(folder / str(stop), find_group(sharding), kind=kind)
                results[f"{sharding} {kind} stopped at {stop}"] = {
                    "first": first,
                    "second": second,
                    "ended": [pair.tolist() for pair in ended],
                }
    return results


def main(out: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    results = compare(out)
    if torch.distributed.get_rank() == 0:
        (out / "results.json").write_text(json.dumps(results))
    torch.distributed.barrier()
    sys.stderr.flush()
    # As engine.rank does: threads of the communication library now and then abort a process that ends normally.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
