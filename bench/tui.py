"""The application in a real terminal, and ``odyssey runs``: start, keys, bytes, memory and idling with 10,000 runs.

The ``odyssey`` command runs behind a pseudo-terminal of 120 × 40 (``bench.viewing.terminal``), on a generated
workspace (``bench.viewing.workspace``); so do W&B's terminal application on as many offline runs and, for its start,
harlequin. ``odyssey runs --json`` stands beside the lists of MLflow and Trackio.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import (
    Comparison,
    Contender,
    Finished,
    Metric,
    alternate,
    arguments,
    conclude,
    peer_pythons,
    versions,
)
from bench.viewing.mlflow_runs import EXPERIMENT
from bench.viewing.scripts import LONG_RUNS, beside, harlequin_visit, leet_visit, odyssey_visit
from bench.viewing.trackio_runs import PROJECT
from bench.viewing.visit import Visit

ROOT = Path(__file__).resolve().parent.parent
OURS, LEET, HARLEQUIN = "odyssey", "wandb leet", "harlequin"
OUR_LIST, MLFLOW_LIST, MLFLOW_TABLE, TRACKIO_LIST = (
    "odyssey runs --json",
    "mlflow runs list",
    "mlflow experiments csv",
    "trackio list runs --json",
)
PEERS = ("wandb", "harlequin", "mlflow", "trackio")
START = (
    Metric("first_frame_s", "first frame", "s", more_is_better=False),
    Metric("first_rows_s", "first rows", "s", more_is_better=False),
    Metric("first_rows_cpu_s", "of it processor", "s", more_is_better=False),
    Metric("start_s", "last drawing", "s", more_is_better=False),
    Metric("start_cpu_s", "processor", "s", more_is_better=False),
    Metric("start_kb", "sent", "kB", more_is_better=False),
    Metric("start_rss_mib", "memory", "MiB", more_is_better=False),
)
ROWS = (
    Metric("row_p50_ms", "key to paint, median", "ms", more_is_better=False),
    Metric("row_p95_ms", "p95", "ms", more_is_better=False),
    Metric("row_settled_ms", "until all is drawn", "ms", more_is_better=False),
    Metric("row_cpu_ms", "processor", "ms", more_is_better=False),
    Metric("row_frame_kb", "a frame", "kB", more_is_better=False),
    Metric("row_largest_kb", "largest", "kB", more_is_better=False),
)
CHART = tuple(
    Metric(metric.key.replace("row", "chart"), metric.title, metric.unit, more_is_better=False) for metric in ROWS
)
REST = (
    Metric("rss_mib", "memory", "MiB", more_is_better=False),
    Metric("idle_bytes", "sent", "bytes", more_is_better=False),
    Metric("idle_cpu_percent", "processor", "% of a core", more_is_better=False),
)
LISTED = (
    Metric("wall_s", "wall", "s", more_is_better=False),
    Metric("cpu_s", "processor", "s", more_is_better=False),
    Metric("process_peak_mib", "peak memory", "MiB", more_is_better=False),
    Metric("rows", "rows", digits=6),
)


def main() -> None:
    parser = arguments("tui", __doc__.splitlines()[0], PEERS)
    parser.add_argument("--runs", type=int, default=10_000, metavar="N", help="in every store (default 10,000)")
    parser.add_argument("--points", type=int, default=100_000, metavar="N", help=f"of each of {LONG_RUNS} long curves")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the generated runs here, and find them again")
    options = parser.parse_args()
    runs, points = (options.runs // 10, options.points // 10) if options.quick else (options.runs, options.points)
    starts, stays = (2, 1) if options.quick else (7, 3)
    pythons = peer_pythons(options, PEERS)
    with _folder(options.data) as folder:
        stores = {name: _Store(name, folder, pythons.get(name, sys.executable), runs, points) for name in STORES}
        for store in stores.values():
            store.write()
        begun = alternate(
            [
                _visiting(OURS, odyssey_visit(stores["odyssey"].path), folder, "start", ""),
                _visiting(
                    LEET, leet_visit(pythons["wandb"], stores["wandb"].path), folder, "start", stores["wandb"].missing
                ),
                _visiting(
                    HARLEQUIN,
                    harlequin_visit(pythons["harlequin"], folder),
                    folder,
                    "start",
                    _lacks("harlequin", pythons["harlequin"]),
                ),
            ],
            starts,
        )
        used = alternate(
            [
                _visiting(OURS, odyssey_visit(stores["odyssey"].path, stay=True), folder, "stay", ""),
                _visiting(
                    LEET,
                    leet_visit(pythons["wandb"], stores["wandb"].path, stay=True),
                    folder,
                    "stay",
                    stores["wandb"].missing,
                ),
            ],
            stays,
        )
        listed = alternate(_lists(stores, pythons), starts)
    conclude(
        "tui",
        [
            Comparison(
                f"{runs:,} runs: start, a terminal of 120 × 40",
                tuple(begun), START, LEET, "first frame ≤ 0.3 s, first rows ≤ 0.6 s",
            ),
            Comparison("one row down", tuple(used), ROWS, LEET, "p95 ≤ 50 ms, ≤ 12 kB a frame"),
            Comparison(
                f"{LONG_RUNS} curves of {points:,} points overlaid: zoom, pan, logarithmic axis",
                tuple(used), CHART, LEET, "p95 ≤ 50 ms, ≤ 12 kB a frame",
                ("W&B's has no keys to pan: its wheel zooms, y changes the axis",),
            ),
            Comparison("10 s without a key", tuple(used), REST, LEET, "nothing sent, ≤ 150 MiB, ≤ 1 %"),
            Comparison(
                f"a list of {runs:,} runs",
                tuple(listed), LISTED, MLFLOW_LIST, "≤ 0.3 s",
                (
                    "ours has state, configuration and losses of every run; MLflow's list names 1,000 of them, its csv "
                    "has all of every run; Trackio's list has names alone",
                ),
            ),
        ],
        options,
        runs=runs,
        points=points,
        peers={name: versions(pythons[name], (name,)).get(name) for name in PEERS},
    )  # fmt: skip


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="bench-tui-") as folder:
        yield Path(folder)


WRITERS = {
    "odyssey": ("bench.viewing.workspace", "{runs} {points}"),
    "wandb": ("bench.viewing.wandb_runs", f"{{runs}} {LONG_RUNS} {{points}}"),
    "mlflow": ("bench.viewing.mlflow_runs", "{runs}"),
    "trackio": ("bench.viewing.trackio_runs", "{runs}"),
}
STORES = tuple(WRITERS)


class _Store:
    """Generated runs as one program keeps them, in a folder that says how many they are."""

    def __init__(self, name: str, folder: Path, python: str, runs: int, points: int) -> None:
        self.path = folder / f"{name}-{runs}-{points}"
        self.python = python
        self.missing = "" if name == "odyssey" else _lacks(name, python)
        module, given = WRITERS[name]
        self._command = [python, "-m", module, "{path}", *given.format(runs=runs, points=points).split()]

    def write(self) -> None:
        """Write them, unless they are there from an earlier time."""
        if self.missing or self.path.exists():
            return
        print(f"  … writing {self.path.name}", file=sys.stderr, flush=True)
        staged = self.path.with_name(f".{self.path.name}")
        shutil.rmtree(staged, ignore_errors=True)
        command = [part.replace("{path}", str(staged)) for part in self._command]
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(self.path.parent)},
            check=False,
        )
        if done.returncode:
            self.missing = f"its runs could not be written: {(done.stderr.splitlines() or ['no message'])[-1][:200]}"
            return
        staged.rename(self.path)


def _lacks(name: str, python: str) -> str:
    """What to do where ``python`` has no such peer; empty where it has one."""
    return "" if versions(python, (name,)) else f"pip install {name}, then --peer-python {name}=PYTHON"


def _visiting(name: str, visit: Visit, folder: Path, kind: str, missing: str) -> Contender:
    path = visit.write(folder / f".{kind}-{name.replace(' ', '-')}.json")
    command = (sys.executable, "-m", "bench.viewing.visit", str(path))
    return Contender(name, command, {"PYTHONPATH": str(ROOT)}, missing=missing)


def _lists(stores: dict[str, _Store], pythons: dict[str, str]) -> list[Contender]:
    odyssey = (str(beside(sys.executable, "odyssey")), "-w", str(stores["odyssey"].path), "runs", "--json")
    mlflow, trackio = (str(beside(pythons[name], name)) for name in ("mlflow", "trackio"))
    of_mlflow = {"MLFLOW_TRACKING_URI": f"sqlite:///{stores['mlflow'].path}/mlflow.db", "PYTHONPATH": ""}
    of_trackio = {"TRACKIO_DIR": str(stores["trackio"].path), "PYTHONPATH": ""}
    lacking = stores["mlflow"].missing
    return [
        Contender(OUR_LIST, odyssey, {"PYTHONPATH": str(ROOT)}, _count_json),
        Contender(
            MLFLOW_LIST, (mlflow, "runs", "list", "--experiment-id", EXPERIMENT), of_mlflow, _count_table, lacking
        ),
        Contender(
            MLFLOW_TABLE, (mlflow, "experiments", "csv", "--experiment-id", EXPERIMENT), of_mlflow, _count_csv, lacking
        ),
        Contender(
            TRACKIO_LIST,
            (trackio, "list", "runs", "--project", PROJECT, "--json"),
            of_trackio,
            _count_json,
            stores["trackio"].missing,
        ),
    ]


def _count_json(finished: Finished) -> dict[str, int]:
    content = json.loads((finished.folder / "stdout").read_text())
    return {"rows": len(content["runs"] if isinstance(content, dict) else content)}


def _count_csv(finished: Finished) -> dict[str, int]:
    with open(finished.folder / "stdout", newline="") as file:
        return {"rows": sum(1 for _ in csv.DictReader(file))}


def _count_table(finished: Finished) -> dict[str, int]:
    """Rows of a table below two lines of heading."""
    return {"rows": len((finished.folder / "stdout").read_text().splitlines()) - 2}


if __name__ == "__main__":
    main()
