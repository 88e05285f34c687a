"""Mutated files of a workspace, and what every command says of each: no traceback, no hang, nothing else harmed.

``python -m bench.badinput --files 1000 [--seed S]``: each file is damaged in a copy of a finished workspace of its own.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.faulting.damage import copy_workspace, damage, fingerprint
from bench.faulting.estate import KINDS, Estate, build_estate
from bench.faulting.probes import Told, faults_of, odyssey, preload, schedule

CONSUMED = frozenset(
    {"queue", "scheduler", "workers", "odyssey.duckdb.seen", "odyssey.duckdb.listed", "odyssey.duckdb.lease"}
)
"""Files, and folders of files, that are taken away or written anew in any case."""
COMMANDS_EACH = 5
"""Commands tried on each damaged workspace, besides the list of runs and the scheduler."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.badinput", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000, help="how many files to damage (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=sorted(KINDS), help="only files of this kind")
    options = parser.parse_args()
    preload()
    counted: Counter[str] = Counter()
    began, bad, slowest = time.monotonic(), 0, 0.0
    with tempfile.TemporaryDirectory(prefix="bench-badinput-") as folder:
        estates = [build_estate(Path(folder) / name, ingested=name == "ingested") for name in ("fresh", "ingested")]
        for number in range(options.files):
            seed = options.seed * 1_000_003 + number
            kind, faults, seconds = try_one(estates[number % 2], Path(folder) / "copy", seed, options.kind)
            counted[kind] += 1
            slowest = max(slowest, seconds)
            bad += bool(faults)
            for fault in faults:
                print(f"{seed}: {fault}", flush=True)
    for kind, count in sorted(counted.items()):
        print(f"{kind:<28}{count:>8}")
    print(f"{'files':<28}{counted.total():>8}\n{'with faults':<28}{bad:>8}\n{'slowest command, s':<28}{slowest:>8.1f}")
    print(f"{'seconds':<28}{time.monotonic() - began:>8.0f}")
    sys.exit(1 if bad else 0)


def try_one(estate: Estate, copy: Path, seed: int, wanted: str | None = None) -> tuple[str, list[str], float]:
    """Damage one file of a copy, try commands; the kind of file, what was wrong, seconds of the slowest command."""
    rng = random.Random(seed)
    copy_workspace(estate.root, copy)
    kind = wanted or rng.choice(sorted(KINDS))
    victim = rng.choice(estate.files_of(kind))
    path = copy / victim
    way = damage(path, rng)
    before = fingerprint(path)
    faults, slowest = [], 0.0
    for told in _tell(estate, copy, rng):
        slowest = max(slowest, told.seconds)
        faults += faults_of(told, _names(victim))
        if told.command == ("runs", "--json") and told.status == 0:
            faults += estate.missing_runs(told.out, victim)
    if victim.parts[0] not in CONSUMED and not _survives(path, before):
        faults.append("the damaged file is gone or was overwritten")
    shutil.rmtree(copy)
    return kind, [f"{kind}, {way}, {victim}: {fault}" for fault in faults], slowest


def _tell(estate: Estate, copy: Path, rng: random.Random) -> Iterator[Told]:
    yield odyssey(copy, "runs", "--json")
    for arguments in rng.sample(estate.commands, COMMANDS_EACH):
        yield odyssey(copy, *(word.format(root=copy) for word in arguments))
    yield schedule(copy)
    yield odyssey(copy, "runs", "--json")


def _names(victim: Path) -> tuple[str, ...]:
    """What a message may call the file: its name, or the folder of the run or worker that it belongs to.

    What a shard set aside would have brought is missing from results, which name the evaluation.
    """
    return (victim.name, *victim.parts[1:2], *(("losses of",) if victim.suffix == ".parquet" else ()))


def _survives(path: Path, before: bytes | str | None) -> bool:
    """Whether what was damaged is still there to be looked at: in place, with more behind it, or set aside."""
    now = fingerprint(path)
    if now == before or (isinstance(now, bytes) and isinstance(before, bytes) and now.startswith(before)):
        return True
    if path.suffix == ".duckdb" and isinstance(now, bytes) and isinstance(before, bytes):
        # DuckDB opens a file that lacks a part and adds to it; what is missing is an error when it is asked for.
        return len(now) >= len(before) > 0
    beside = (*path.parent.glob(f"{path.name}*"), *path.parent.glob(f"../quarantine/{path.name}*"))
    return not before or any(fingerprint(other) == before for other in beside)


if __name__ == "__main__":
    main()
