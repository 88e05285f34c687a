"""The store: shards ingested round by round into a workspace's database, then its questions, each by its own lease."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import leave_result
from bench.storing.generate import plan_rounds
from bench.storing.setting import Setting
from bench.storing.sum_queries import read_class_sums, read_perplexities
from bench.storing.words import say
from store.database import lease
from store.ingest import ingest
from store.queries.passages import rank_passages, read_block
from store.queries.positions import read_position_curve
from store.queries.sums import read_type_changes
from store.queries.tokens import open_pair, read_documents, read_ledger
from store.workspace import Workspace

if TYPE_CHECKING:
    from store.database import Connection

MASK = ["newline", "punctuation"]


def main() -> None:
    setting = Setting.read(sys.argv[1])
    workspace = Workspace.create(Path(setting.root) / "workspace")
    leave_result({**_fill(setting, workspace), **_ask(setting, workspace)})


def _fill(setting: Setting, workspace: Workspace) -> dict[str, float]:
    texts_s = _ingest(setting, workspace, "texts")
    before = workspace.database_path.stat().st_size
    rounds = len(plan_rounds(setting))
    seconds = 0.0
    for number in range(rounds):
        seconds += _ingest(setting, workspace, str(number))
        size = workspace.database_path.stat().st_size
        say(f"round {number + 1} of {rounds} ingested, {seconds:.1f} s so far, database {size / 1e6:,.0f} MB")
    grown = workspace.database_path.stat().st_size - before
    return {
        "texts_s": texts_s,
        "ingest_s": seconds,
        "rows_per_s": setting.losses / seconds,
        "bytes_per_loss": _bytes_of_losses(workspace) / setting.losses,
        "bytes_per_loss_with_sums": grown / setting.losses,
    }


def _ingest(setting: Setting, workspace: Workspace, what: str) -> float:
    command = [sys.executable, "-m", "bench.storing.generate", str(setting.path), str(workspace.root), what]
    subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[2], env={**os.environ})
    started = time.perf_counter()
    report = ingest(workspace)
    if report.warnings:
        raise SystemExit(f"ingest warned: {report.warnings[:3]}")
    return time.perf_counter() - started


def _bytes_of_losses(workspace: Workspace) -> int:
    with lease(workspace) as con:
        return con.execute(
            "SELECT count(DISTINCT block_id) * (SELECT block_size FROM pragma_database_size()) "
            "FROM pragma_storage_info('token_losses') WHERE block_id >= 0"
        ).fetchall()[0][0]


def _ask(setting: Setting, workspace: Workspace) -> dict[str, Any]:
    long, short = setting.texts
    everything = [*long.evaluations, *short.evaluations]
    pairs = [(short.evaluations[0], other) for other in short.evaluations[1:11]]

    def paired(read: Callable[..., object]) -> Callable[[Connection], object]:
        return lambda con: read(con, open_pair(con, *long.evaluations))

    questions: dict[str, Callable[[Connection], object]] = {
        "ledger": paired(read_ledger),
        "documents": paired(read_documents),
        "ppl": lambda con: read_perplexities(con, everything),
        "masked": lambda con: read_perplexities(con, everything, mask_classes=MASK),
        "classes": lambda con: read_class_sums(con, everything),
        "ledgers": lambda con: read_type_changes(con, pairs),
        "passages": paired(rank_passages),
        "positions": paired(read_position_curve),
        "block": paired(lambda con, pair: read_block(con, pair, 3)),
    }
    found: dict[str, Any] = {}
    for name, question in questions.items():
        times = []
        for _ in range(3):
            started = time.perf_counter()
            with lease(workspace) as con:
                found[name] = question(con)
            times.append(time.perf_counter() - started)
        found[f"{name}_s"] = statistics.median(times)
        say(f"{name}: {found[f'{name}_s'] * 1000:,.0f} ms")
    return {
        **{name: value for name, value in found.items() if name.endswith("_s")},
        "sum_loss": float(found["ppl"]["sum_loss"].sum()),
        "masked_loss": float(found["masked"]["loss"].sum()),
        "delta": found["ledger"].delta,
    }


if __name__ == "__main__":
    main()
