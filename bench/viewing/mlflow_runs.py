"""Runs in MLflow's database: ``python -m bench.viewing.mlflow_runs ROOT RUNS`` with a Python that has ``mlflow``.

One run is recorded by MLflow itself, with 20 values of three metrics and two parameters, and copied row by row.
"""

from __future__ import annotations

import sqlite3
import sys
import uuid
from pathlib import Path

POINTS = 20
EXPERIMENT = "1"
"""What MLflow numbers the first experiment that is made."""


def write_runs(root: Path, runs: int) -> None:
    root.mkdir(parents=True)
    record_one(f"sqlite:///{root / 'mlflow.db'}")
    with sqlite3.connect(root / "mlflow.db") as con:
        copy_run(con, runs)


def record_one(store: str) -> None:
    """An experiment with one finished run."""
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store)
    experiment = client.create_experiment("bench")
    if experiment != EXPERIMENT:
        raise SystemExit(f"MLflow calls the first experiment {experiment}, not {EXPERIMENT}")
    run = client.create_run(experiment, run_name="run")
    values = [
        Metric(name, 3.0 / (step + 1), 1_790_000_000_000 + step, step)
        for step in range(POINTS)
        for name in ("loss", "lr", "tokens_per_s")
    ]
    client.log_batch(run.info.run_id, values, [Param("replay_ratio", "0.1"), Param("domain", "law")])
    client.set_terminated(run.info.run_id)


def copy_run(con: sqlite3.Connection, runs: int) -> None:
    """Make the one run of the database many, in every table that speaks of runs."""
    ((first,),) = con.execute("SELECT run_uuid FROM runs").fetchall()
    con.execute("CREATE TEMP TABLE copies (run_uuid TEXT)")
    ids = [(uuid.UUID(int=number + 1).hex,) for number in range(runs - 1)]
    con.executemany("INSERT INTO copies VALUES (?)", ids)
    tables = [name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    for table in tables:
        columns = [name for _, name, *_ in con.execute(f"PRAGMA table_info({table})").fetchall()]
        if "run_uuid" in columns:
            named = ", ".join(columns)
            taken = ", ".join("c.run_uuid" if name == "run_uuid" else f"t.{name}" for name in columns)
            con.execute(
                f"INSERT INTO {table} ({named}) SELECT {taken} FROM {table} t, temp.copies c WHERE t.run_uuid = ?",
                (first,),
            )


if __name__ == "__main__":
    write_runs(Path(sys.argv[1]), int(sys.argv[2]))
