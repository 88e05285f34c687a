"""Training speed and memory against HF ``Trainer`` and LitGPT: same weights, batches, precision and optimizer.

Ours runs as the queue starts it; a peer as a plain script. Before speed, the losses of the first steps are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.harness import (
    Comparison,
    Contender,
    Measured,
    Metric,
    alternate,
    arguments,
    conclude,
    gpu_name,
    need,
    peer_pythons,
    read_result,
    start,
    versions,
)
from bench.training.setting import Setting
from engine.launch.mailbox import Slot
from engine.launch.workers import worker_environment

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "bench" / "training"
PEERS = ("hf", "litgpt")
OURS, TRAINER, TUNED, LITGPT = "odyssey", "HF Trainer", "HF Trainer, our malloc", "LitGPT (Fabric)"
EQUAL_STEPS = 6
SPEED = (
    Metric("tokens_per_s", "tokens/s"),
    Metric("best_tokens_per_s", "best tokens/s"),
    Metric("wall_s", "whole run", "s", more_is_better=False),
)
MEMORY = (
    Metric("allocated_mib", "tensors, peak", "MiB", more_is_better=False),
    Metric("above_imports_mib", "resident above imports, peak", "MiB", more_is_better=False),
)
DEVICE = (
    *SPEED[:2],
    Metric("device_mib", "device memory", "MiB", more_is_better=False),
    Metric("tflops", "TFLOP/s (6N)"),
)
SPEED_GOAL, MEMORY_GOAL = "≥ 1.5×", "≤ 0.5× HF Trainer's memory, a ratio of at least 2"

SMALL = Setting("1.35 M", "gpt2", 4, 128, 4, 4096, 256, 16, 24, log_every=4)
MIDDLE = Setting("3.5 M", "gpt2", 6, 192, 6, 4096, 256, 8, 24, log_every=4)
LARGE = Setting("10 M", "gpt2", 7, 320, 5, 4096, 256, 8, 16, log_every=4)
LLAMA = Setting("Llama-style 1.9 M", "llama", 4, 128, 4, 4096, 256, 16, 24, log_every=4)
WIDE = Setting("vocabulary 50,257, context 1024", "gpt2", 4, 128, 4, 50_257, 1024, 4, 3, log_every=1)
GPT2 = Setting("GPT-2 124 M", "gpt2", 12, 768, 12, 50_257, 1024, 16, 60, "bf16", device="cuda")
BILLION = Setting("Llama-style 1 B", "llama", 16, 2048, 16, 50_257, 1024, 8, 40, "bf16", device="cuda")


@dataclass(frozen=True)
class Bench:
    """What a comparison needs besides its setting."""

    folder: Path
    pythons: dict[str, str]
    quick: bool

    def prepare(self, setting: Setting) -> Setting:
        """Weights, tokens and batches of a setting, in a folder of its own."""
        root = self.folder / f"{setting.label}-{setting.precision}-{setting.rank}".replace(" ", "-")
        root.mkdir(exist_ok=True)
        setting = replace(setting, root=str(root), threads=min(setting.threads, len(os.sched_getaffinity(0))))
        shared = self.folder / "workspace"
        shared.mkdir(exist_ok=True)
        Path(setting.workspace).symlink_to(shared)
        path = setting.write(root / "setting.json")
        command = [sys.executable, "-m", "bench.training.prepare", str(path)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise SystemExit(f"preparing {setting.label} failed:\n{answer.stderr}")
        return setting

    def contenders(self, setting: Setting, names: Sequence[str], *flags: str) -> list[Contender]:
        path = setting.write(Path(setting.root) / f"setting-{setting.steps}-{setting.log_every}.json")
        threads = {"OMP_NUM_THREADS": str(setting.threads), "HF_HUB_OFFLINE": "1"}
        slot = Slot("bench", "0" if setting.device == "cuda" else None, setting.threads)
        tuned = {k: v for k, v in worker_environment(slot, setting.threads).items() if k not in os.environ}
        hf, litgpt = (self.pythons[name] for name in PEERS)
        script = (hf, str(SCRIPTS / "hf_trainer.py"), str(path), *flags)
        # In a process of our own the allocator's settings are the worker's, which `worker_environment` gives.
        alone = tuned if flags else {}
        every = {
            OURS: Contender(
                OURS,
                (sys.executable, "-m", "bench.training.ours", str(path), *flags),
                {"PYTHONPATH": str(ROOT), **alone},
            ),
            TRAINER: Contender(TRAINER, script, threads, missing=need("accelerate", hf, "transformers accelerate")),
            TUNED: Contender(TUNED, script, {**threads, **tuned}),
            LITGPT: Contender(
                LITGPT,
                (litgpt, str(SCRIPTS / "litgpt_fabric.py"), str(path)),
                threads,
                missing=need("litgpt", litgpt, "litgpt"),
            ),
        }
        return [replace(every[name], read=_read(setting)) for name in names]


def main() -> None:
    parser = arguments("train", __doc__.splitlines()[0], PEERS)
    parser.add_argument("--only", metavar="TEXT", default="", help="only the comparisons whose title holds this text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        bench = Bench(Path(folder), peer_pythons(options, PEERS), options.quick)
        comparisons = list(_comparisons(bench, options))
    peers = {
        name: versions(python, ("litgpt", "lightning", "torch", "transformers"))
        for name, python in bench.pythons.items()
    }
    conclude("train", comparisons, options, peers=peers, settings={"threads": SMALL.threads})


def _comparisons(bench: Bench, options: argparse.Namespace):
    sizes = (SMALL,) if bench.quick else (SMALL, MIDDLE, LARGE)
    for setting in sizes:
        for precision in ("fp32", "bf16"):
            names = (OURS, TRAINER, TUNED) if setting is SMALL and not bench.quick else (OURS, TRAINER)
            yield from _speed(bench, replace(setting, precision=precision), names, TRAINER, options)
    for precision in ("fp32",) if bench.quick else ("fp32", "bf16"):
        yield from _speed(bench, replace(LLAMA, precision=precision), (OURS, LITGPT), LITGPT, options)
    for precision in ("fp32",) if bench.quick else ("fp32", "bf16"):
        yield from _memory(bench, replace(WIDE, precision=precision), options)
    for setting in (GPT2, replace(GPT2, label="GPT-2 124 M, LoRA", rank=8), BILLION):
        yield from _device(bench, setting, options)


def _speed(bench: Bench, setting: Setting, names: Sequence[str], peer: str, options: argparse.Namespace):
    title = f"Speed: {setting.label}, {setting.precision}, context {setting.sequence}, batch {setting.batch}"
    if options.only not in title:
        return
    setting = bench.prepare(replace(setting, steps=16) if bench.quick else setting)
    note = _equality(bench, setting, peer)
    measured = alternate(bench.contenders(setting, names), 2 if bench.quick else 3)
    yield Comparison(title, tuple(measured), SPEED, peer, SPEED_GOAL, (note,))


def _memory(bench: Bench, setting: Setting, options: argparse.Namespace):
    title = f"Memory: {setting.label}, {setting.precision}, batch {setting.batch}"
    if options.only not in title:
        return
    setting = bench.prepare(setting)
    names = (OURS, TRAINER, TUNED)
    resident = alternate(bench.contenders(setting, names), 1)
    allocated = alternate(bench.contenders(setting, names, "allocations"), 1)
    both = []
    for one, other in zip(resident, allocated, strict=True):
        repetitions = tuple({**a, **b} for a, b in zip(one.repetitions, other.repetitions, strict=False))
        both.append(Measured(one.name, repetitions, one.missing or other.missing))
    yield Comparison(title, tuple(both), MEMORY, TRAINER, MEMORY_GOAL)


def _device(bench: Bench, setting: Setting, options: argparse.Namespace):
    title = f"GPU: {setting.label}, {setting.precision}, context {setting.sequence}, batch {setting.batch}"
    if options.only not in title:
        return
    names = (OURS, TRAINER)
    if gpu_name() is None:
        yield Comparison(title, tuple(Measured(n, (), "no GPU") for n in names), DEVICE, TRAINER, SPEED_GOAL)
        return
    setting = bench.prepare(setting)
    note = "" if setting.rank else _equality(bench, setting, TRAINER)
    measured = alternate(bench.contenders(setting, names), 1 if bench.quick else 3)
    yield Comparison(title, tuple(measured), DEVICE, TRAINER, SPEED_GOAL, (note,) if note else ())


def _equality(bench: Bench, setting: Setting, peer: str) -> str:
    """How far the losses of the first steps are from the peer's, in words."""
    short = replace(setting, steps=min(EQUAL_STEPS, setting.steps), log_every=1)
    ours, other = bench.contenders(short, (OURS, peer))
    if other.missing:
        return "losses: no peer to compare with"
    try:
        mine, theirs = start(ours)["losses"], start(other)["losses"]
    except RuntimeError as error:
        return f"losses: not compared ({error})"
    if len(mine) != len(theirs) or not mine:
        return f"losses: not compared ({peer} logged {len(theirs)}, {OURS} {len(mine)})"
    worst = max(abs(a - b) / abs(b) for a, b in zip(mine, theirs, strict=True))
    return f"losses of the first {len(mine)} steps: largest relative difference from {peer} {worst:.1e}"


def _read(setting: Setting):
    """Tokens per second over intervals of ``log_every`` steps, without the first one, which warms up."""

    def read(finished) -> dict[str, Any]:
        found = read_result(finished)
        times, tokens = found.pop("times", []), found.pop("tokens", [])
        speeds = [
            (tokens[i + 1] - tokens[i]) / (times[i + 1] - times[i])
            for i in range(len(times) - 1)
            if times[i + 1] > times[i]
        ]
        if speeds:
            found["tokens_per_s"] = statistics.median(speeds)
            found["best_tokens_per_s"] = max(speeds)
            parameters = int(Path(setting.root, "parameters").read_text())
            found["tflops"] = 6 * parameters * found["tokens_per_s"] / 1e12
        return found

    return read


if __name__ == "__main__":
    main()
