"""Offline runs of W&B, written in its own format by its own protocol: ``python -m bench.viewing.wandb_runs ROOT RUNS
LONG POINTS`` with a Python that has ``wandb``. RUNS runs of 20 points, the first LONG of them with POINTS points.

A log is a LevelDB log (blocks of 32 KiB, CRC-32 of type and data) of records, after a header of its own. Starting
``wandb`` ten thousand times instead would take hours.
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK_BYTES, HEAD_BYTES = 32_768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
SHORT_POINTS = 20


def write_runs(root: Path, runs: int, long: int, points: int) -> None:
    for number in range(runs):
        run_id = f"r{number:07d}"
        # A folder's name has the time of its start; the newest is listed first.
        day, second = divmod(runs - number, 86_400)
        clock = f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"
        folder = root / f"offline-run-202601{day + 1:02d}_{clock}-{run_id}"
        (folder / "files").mkdir(parents=True)
        log = b"".join(frame(records(number, run_id, points if number < long else SHORT_POINTS)))
        (folder / f"run-{run_id}.wandb").write_bytes(log)


def records(number: int, run_id: str, points: int) -> Iterator[bytes]:
    """The records of a finished run, serialized."""
    from wandb.proto.wandb_internal_pb2 import Record

    run = Record(num=1)
    run.run.run_id, run.run.project, run.run.display_name = run_id, "bench", f"run {number}"
    run.run.start_time.seconds = 1_790_000_000 + number
    item = run.run.config.update.add()
    item.key, item.value_json = "replay_ratio", json.dumps(number % 5 / 10)
    yield run.SerializeToString()
    noise = random.Random(number).gauss
    for step in range(points):
        record = Record(num=2 + step)
        record.history.step.num = step
        share = (step + 1) / points
        values = {"loss": 2.4 + (1 + 400 * share) ** -0.4 + noise(0.0, 0.06), "lr": 1e-4 * (1 - 0.9 * share)}
        for name, value in {**values, "tokens_per_s": 21_500.0, "_step": step, "_timestamp": 1.79e9 + step}.items():
            item = record.history.item.add()
            item.nested_key.append(name)
            item.value_json = json.dumps(value if math.isfinite(value) else None)
        yield record.SerializeToString()
    end = Record(num=2 + points)
    end.exit.exit_code = 0
    yield end.SerializeToString()


def frame(found: Iterator[bytes]) -> Iterator[bytes]:
    """Records in blocks, a record cut where a block ends."""
    yield HEADER
    at = len(HEADER)
    for data in found:
        first = True
        while True:
            room = BLOCK_BYTES - at % BLOCK_BYTES
            if room < HEAD_BYTES:
                yield bytes(room)
                at += room
                continue
            part, data = data[: room - HEAD_BYTES], data[room - HEAD_BYTES :]
            kind = (FULL if first else LAST) if not data else (FIRST if first else MIDDLE)
            checksum = zlib.crc32(part, zlib.crc32(bytes([kind])))
            yield struct.pack("<IHB", checksum, len(part), kind) + part
            at += HEAD_BYTES + len(part)
            first = False
            if not data:
                break


if __name__ == "__main__":
    write_runs(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
