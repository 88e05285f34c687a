"""Speed of per-token losses against lm-evaluation-harness and Hugging Face ``evaluate``: same model, same text.

Ours is ``odyssey evaluate`` as its user calls it; a peer a plain script. Tokens per second count the scoring,
tokenising included; the whole process is beside it. Sums of losses are compared under the same convention.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.evaluating.setting import Setting
from bench.harness import (
    Comparison,
    Contender,
    Finished,
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

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "bench" / "evaluating"
PEERS = ("lm_eval", "evaluate")
OURS, OURS_BF16, OURS_TABLE = "odyssey", "odyssey, bf16", "odyssey, with the table"
HARNESS, HARNESS_8, HARNESS_AUTO, METRIC = "lm_eval", "lm_eval, batch 8", "lm_eval, batch auto", "evaluate"
SPEED = (
    Metric("tokens_per_s", "tokens/s"),
    Metric("tokens_per_cpu_s", "tokens/CPU-s"),
    Metric("wall_s", "whole process", "s", more_is_better=False),
    Metric("process_peak_mib", "peak memory", "MiB", more_is_better=False),
)
GOAL = "≥ 5× lm_eval's tokens/s, sums within 1e-4"

SETTINGS = (
    Setting("1.35 M, vocabulary 4,096", 4, 128, 4, 4096, 256, 400_000),
    Setting("10 M, vocabulary 4,096", 7, 320, 5, 4096, 1024, 200_000),
    Setting("7.3 M, vocabulary 50,257", 4, 128, 4, 50_257, 256, 120_000),
)
ON_GPU = Setting("GPT-2 124 M", 12, 768, 12, 50_257, 1024, 1_000_000, device="cuda")


@dataclass(frozen=True)
class Bench:
    """What a comparison needs besides its setting."""

    folder: Path
    pythons: dict[str, str]
    metric: str
    quick: bool

    def prepare(self, setting: Setting) -> Setting:
        """Model, text and pieces of a setting, in a folder of its own."""
        root = self.folder / setting.label.replace(" ", "-")
        root.mkdir()
        size = setting.text_bytes // 4 if self.quick else setting.text_bytes
        setting = replace(setting, root=str(root), text_bytes=size)
        setting.write()
        command = (sys.executable, "-m", "bench.evaluating.prepare", str(setting.path), str(self.folder / "workspace"))
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        return setting

    def contenders(self, setting: Setting) -> list[Contender]:
        harness, metric = (self.pythons[name] for name in PEERS)
        offline = {"HF_HUB_OFFLINE": "1"} if os.path.exists(self.metric) else {}
        threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
        sizes = {HARNESS: "1", HARNESS_8: "8"} | ({HARNESS_AUTO: "auto"} if setting.device == "cuda" else {})
        rolling = (harness, str(SCRIPTS / "rolling.py"))
        missing = need("lm_eval", harness, "'lm_eval[hf]'")
        return [
            _ours(OURS, setting, threads),
            _ours(OURS_TABLE, setting, threads, "--per-token", "{folder}/tokens.parquet"),
            _ours(OURS_BF16, setting, threads, "--precision", "bf16"),
            *(
                Contender(name, (*rolling, str(setting.path), size), threads, _read_peer, missing)
                for name, size in sizes.items()
            ),
            Contender(
                METRIC,
                (metric, str(SCRIPTS / "perplexity.py"), str(setting.path), self.metric),
                {**threads, **offline},
                _read_peer,
                need("evaluate", metric, "evaluate"),
            ),
        ]


def main() -> None:
    parser = arguments("evaluate", __doc__.splitlines()[0], PEERS)
    parser.add_argument("--only", metavar="TEXT", default="", help="only the comparisons whose title holds this text")
    parser.add_argument(
        "--metric",
        default="perplexity",
        metavar="NAME|FOLDER",
        help="what evaluate.load takes; a folder with its script where the hub cannot be reached",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-evaluate-") as folder:
        bench = Bench(Path(folder), peer_pythons(options, PEERS), options.metric, options.quick)
        comparisons = list(_comparisons(bench, options))
    names = ("lm_eval", "evaluate", "torch", "transformers")
    peers = {name: versions(python, names) for name, python in bench.pythons.items()}
    conclude("evaluate", comparisons, options, peers=peers)


def _comparisons(bench: Bench, options: argparse.Namespace) -> Iterator[Comparison]:
    for setting in (*(SETTINGS[:1] if bench.quick else SETTINGS), ON_GPU):
        title = f"{setting.label}, window {setting.window}, fp32, {setting.device}"
        if options.only not in title:
            continue
        if setting.device == "cuda" and gpu_name() is None:
            missing = tuple(Measured(name, (), "no GPU") for name in (OURS, HARNESS))
            yield Comparison(title, missing, SPEED, HARNESS, GOAL)
            continue
        prepared = bench.prepare(setting)
        measured = alternate(bench.contenders(prepared), 2 if bench.quick else 3)
        yield Comparison(title, tuple(measured), SPEED, HARNESS, GOAL, tuple(_equality(prepared, measured)))


def _equality(setting: Setting, measured: list[Measured]) -> Iterator[str]:
    """How far our sums of losses are from each peer's, in words."""
    sums = {one.name: one.median("sum_loss") for one in measured}
    for name in (HARNESS, HARNESS_8, HARNESS_AUTO):
        if sums.get(name):
            for ours in (OURS, OURS_BF16):
                yield f"sum of losses, {ours} and {name}: relative difference {_apart(sums[ours], sums[name])}"
    if sums.get(METRIC):
        command = (sys.executable, "-m", "bench.evaluating.pieces", str(setting.path))
        found = start(Contender("pieces", command, {"PYTHONPATH": str(ROOT)}))
        apart = _apart(found["sum_loss"], sums[METRIC])
        yield f"sum of losses, odyssey and evaluate, every piece for itself after BOS: relative difference {apart}"


def _apart(one: float | None, other: float | None) -> str:
    return "unknown" if not one or not other else f"{abs(one - other) / abs(other):.1e}"


def _ours(name: str, setting: Setting, environment: dict[str, str], *more: str) -> Contender:
    command = (
        *(sys.executable, "-m", "odyssey_tui", "evaluate", "--json", "--model", setting.model),
        *("--text", str(setting.text), "--scheme", "rolling", "--window", str(setting.window)),
        *("--device", setting.device, *more),
    )
    return Contender(name, command, {**environment, "PYTHONPATH": str(ROOT)}, read=_read_ours)


def _read_ours(finished: Finished) -> dict[str, Any]:
    found = json.loads((finished.folder / "stdout").read_text())
    total = {name: found["total"][name] for name in ("tokens", "sum_loss")}
    return _with_speed({**found, **total, "process_peak_mib": found["peak_mib"]})


def _read_peer(finished: Finished) -> dict[str, Any]:
    return _with_speed(read_result(finished))


def _with_speed(found: dict[str, Any]) -> dict[str, Any]:
    clocks = {"tokens_per_s": "seconds", "tokens_per_cpu_s": "cpu_seconds"}
    return {**found, **{name: found["tokens"] / found[clock] for name, clock in clocks.items()}}


if __name__ == "__main__":
    main()
