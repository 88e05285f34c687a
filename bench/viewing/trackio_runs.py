"""Runs in Trackio's database, logged by Trackio: ``python -m bench.viewing.trackio_runs ROOT RUNS`` with a Python that
has ``trackio``. Every run has 20 values of three metrics and a configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path

POINTS, PROJECT = 20, "bench"


def main() -> None:
    root, runs = Path(sys.argv[1]), int(sys.argv[2])
    root.mkdir(parents=True)
    os.environ["TRACKIO_DIR"] = str(root)
    from trackio.sqlite_storage import SQLiteStorage

    values = [{"loss": 3.0 / (step + 1), "lr": 1e-4, "tokens_per_s": 21_500.0} for step in range(POINTS)]
    for number in range(runs):
        SQLiteStorage.bulk_log(
            PROJECT, f"run {number}", values, list(range(POINTS)), config={"replay_ratio": 0.1}, run_id=f"{number:08d}"
        )


if __name__ == "__main__":
    main()
