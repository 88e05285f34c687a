"""Losses of tokens in the store against pandas on Parquet and SQLite: ingest, bytes, every question, memory.

Generated losses (``bench.storing.setting``): half of them two evaluations of one long text, half a sweep of 498 short
ones. Ours ingests the shards that workers would have written; a peer writes its files or rows as a plain script.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Comparison, Contender, Measured, Metric, arguments, conclude, start
from bench.storing.setting import Setting
from bench.storing.words import PROGRESS_VARIABLE, listen

ROOT = Path(__file__).resolve().parent.parent
OURS, PANDAS, SQLITE = "odyssey", "pandas on Parquet", "SQLite"
SCRIPTS = {OURS: "bench.storing.ours", PANDAS: "bench.storing.pandas_parquet", SQLITE: "bench.storing.sqlite_rows"}
SQLITE_ROWS = 10_000_000
BYTES_PER_ROW = 16
"""Disk that a contender takes at most: shards in the spool, the database or files, and the texts."""
INGEST = (
    Metric("rows_per_s", "losses/s"),
    Metric("bytes_per_loss", "bytes a loss", more_is_better=False),
    Metric("bytes_per_loss_with_sums", "with sums", "bytes", more_is_better=False),
    Metric("process_peak_mib", "peak memory", "MiB", more_is_better=False),
)
QUESTIONS = {
    "ledger_s": "ledger of the pair",
    "documents_s": "its documents",
    "ppl_s": "500 PPL",
    "masked_s": "500 masked PPL",
    "passages_s": "worst passages",
    "classes_s": "500 × classes",
    "ledgers_s": "10 ledgers",
    "positions_s": "positions",
    "block_s": "one block",
}
ASKED = tuple(Metric(key, title, "s", more_is_better=False) for key, title in QUESTIONS.items())
GOAL = "≥ 20 M losses/s; ≤ 2.5 bytes; a ledger ≤ 1 s at 100 M, ≤ 3 s at 1 B; 500 PPL ≤ 0.1 s"


def main() -> None:
    parser = arguments("store", __doc__.splitlines()[0])
    parser.add_argument("--rows", metavar="N", type=lambda text: int(float(text)), default=10_000_000, help="losses")
    parser.add_argument("--peers", action="store_true", help="measure pandas and SQLite too")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to work (a temporary folder without)")
    options = parser.parse_args()
    rows = max(options.rows // 10 if options.quick else options.rows, 100_000)
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=options.folder) as folder:
        free = shutil.disk_usage(folder).free
        if free < rows * BYTES_PER_ROW:
            raise SystemExit(
                f"{folder} has {free / 1e9:.0f} GB free; {rows:,} losses need {rows * BYTES_PER_ROW / 1e9:.0f}"
            )
        os.environ[PROGRESS_VARIABLE] = str(listen(Path(folder)))
        measured = [_measure(name, rows, Path(folder), options.peers) for name in SCRIPTS]
    title = f"{rows:,} losses of tokens"
    note = tuple(_equality(measured))
    conclude(
        "store",
        [
            Comparison(f"{title}: bringing them in", tuple(measured), INGEST, PANDAS, GOAL, note),
            Comparison(f"{title}: questions", tuple(measured), ASKED, PANDAS),
        ],
        options,
        rows=rows,
    )


def _measure(name: str, rows: int, folder: Path, peers: bool) -> Measured:
    if name != OURS and not peers:
        return Measured(name, (), "run with --peers")
    if name == SQLITE and rows > SQLITE_ROWS:
        return Measured(name, (), f"not run above {SQLITE_ROWS:,} rows: minutes to write, gigabytes to hold")
    root = folder / name.replace(" ", "-")
    root.mkdir()
    setting = Setting(rows, str(root))
    setting.write()
    print(f"  … {name}: {rows:,} losses", file=sys.stderr, flush=True)
    environment = {"PYTHONPATH": str(ROOT)}
    try:
        found = start(Contender(name, (sys.executable, "-m", SCRIPTS[name], str(setting.path)), environment))
        return Measured(name, (found,))
    except RuntimeError as error:
        return Measured(name, (), str(error))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _equality(measured: list[Measured]) -> Iterator[str]:
    """How far ours and a peer's answers are apart."""
    ours = measured[0]
    for peer in measured[1:]:
        if not ours.repetitions or not peer.repetitions:
            continue
        apart = {
            key: abs((ours.median(key) or 0) - (peer.median(key) or 0)) / abs(peer.median(key) or 1)
            for key in ("sum_loss", "masked_loss", "delta")
        }
        words = ", ".join(f"{key} {value:.1e}" for key, value in apart.items())
        yield f"relative difference of {ours.name} and {peer.name}: {words}"


if __name__ == "__main__":
    main()
