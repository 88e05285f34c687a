"""pandas on Parquet as people keep such losses: a file for each evaluation, a row for each predicted token."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.harness import leave_result
from bench.storing.setting import CLASSES, VOCABULARY, Setting
from bench.storing.words import say

MASK = ("newline", "punctuation")


def main() -> None:
    setting = Setting.read(sys.argv[1])
    folder = Path(setting.root) / "parquet"
    folder.mkdir(parents=True)
    leave_result({**_fill(setting, folder), **_ask(setting, folder)})


def _fill(setting: Setting, folder: Path) -> dict[str, float]:
    seconds = 0.0
    for text in setting.texts:
        writers: dict[str, pq.ParquetWriter] = {}
        for chunk in range(text.chunks):
            ids, documents = text.tokens(chunk)
            base = text.base(chunk, ids)
            for place, name in enumerate(text.evaluations):
                losses = text.losses(place, chunk, base)
                started = time.perf_counter()
                frame = pd.DataFrame({"token_id": ids, "document": documents, "loss": losses})
                frame = frame[frame["loss"].notna()]
                # In chunks, as a file of one evaluation would not fit in memory; else what DataFrame.to_parquet does.
                table = pa.Table.from_pandas(frame, preserve_index=False)
                if name not in writers:
                    writers[name] = pq.ParquetWriter(folder / f"{name}.parquet", table.schema, compression="snappy")
                writers[name].write_table(table)
                seconds += time.perf_counter() - started
        started = time.perf_counter()
        for writer in writers.values():
            writer.close()
        seconds += time.perf_counter() - started
        say(f"pandas: {text.name} written, {seconds:.1f} s so far")
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {
        "ingest_s": seconds,
        "rows_per_s": setting.losses / seconds,
        "bytes_per_loss": size / setting.losses,
        "bytes_per_loss_with_sums": size / setting.losses,
    }


def _ask(setting: Setting, folder: Path) -> dict[str, Any]:
    long, short = setting.texts
    everything = [*long.evaluations, *short.evaluations]
    masked_ids = {number for number in range(VOCABULARY) if CLASSES[number % len(CLASSES)] in MASK}

    def read(name: str, *columns: str) -> pd.DataFrame:
        return pd.read_parquet(folder / f"{name}.parquet", columns=list(columns))

    def totals() -> list[tuple[int, float]]:
        losses = (read(name, "loss")["loss"] for name in everything)
        return [(len(one), float(one.to_numpy(np.float64).sum())) for one in losses]

    def masked() -> float:
        total = 0.0
        for name in everything:
            frame = read(name, "token_id", "loss")
            total += float(frame.loc[~frame["token_id"].isin(masked_ids), "loss"].astype(np.float64).mean())
        return total

    def grouped(key: str) -> pd.DataFrame:
        frames = [read(name, key, "loss").astype({"loss": np.float64}) for name in long.evaluations]
        sums = [frame.groupby(key)["loss"].agg(["count", "sum"]) for frame in frames]
        return sums[0].join(sums[1], lsuffix="_before", rsuffix="_after")

    def passages() -> pd.Series:
        before, after = (read(name, "loss")["loss"].to_numpy(np.float64) for name in long.evaluations)
        return pd.Series(after - before).groupby(np.arange(len(before)) // 64).sum().nlargest(100)

    questions: dict[str, Callable[[], Any]] = {
        "ledger": lambda: grouped("token_id"),
        "documents": lambda: grouped("document"),
        "ppl": totals,
        "masked": masked,
        "passages": passages,
    }
    found: dict[str, Any] = {}
    for name, question in questions.items():
        times = []
        for _ in range(3 if setting.rows <= 50_000_000 else 1):
            started = time.perf_counter()
            found[name] = question()
            times.append(time.perf_counter() - started)
        found[f"{name}_s"] = statistics.median(times)
        say(f"pandas, {name}: {found[f'{name}_s'] * 1000:,.0f} ms")
    ledger = found["ledger"]
    return {
        **{name: value for name, value in found.items() if name.endswith("_s")},
        "sum_loss": sum(total for _, total in found["ppl"]),
        "masked_loss": found["masked"],
        "delta": float((ledger["sum_after"] - ledger["sum_before"]).sum() / ledger["count_after"].sum()),
    }


if __name__ == "__main__":
    main()
