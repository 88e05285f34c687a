"""What other tools wrote: files in tests/data/imports, made by the versions that their folders name.

Each was made by logging what the functions here say; ``damaged`` copies are made by the tests.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

from engine.importers.tfrecord import masked_crc32c

DATA = Path(__file__).parents[1] / "data" / "imports"
WANDB = ("wandb-0.19.11", "wandb-0.31.0")
TRACKIO = ("trackio-0.5.3", "trackio-0.43.0")
TENSORBOARD = ("tensorboard-torch-2.13", "tensorboardX-2.6.5")


def unpack_trackio(version: str, folder: Path) -> Path:
    """The database ``legal.db`` of a version in ``folder`` (kept compressed: it is mostly empty pages)."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "legal.db"
    target.write_bytes(gzip.decompress((DATA / version / "legal.db.gz").read_bytes()))
    return target


def wandb_file(version: str, name: str) -> Path:
    """The log of one of the two runs, ``lora r8`` or ``failed``."""
    files = sorted((DATA / version).rglob("*.wandb"), key=lambda file: file.stat().st_size)
    return {"failed": files[0], "lora r8": files[1]}[name]


def tfrecord(data: bytes) -> bytes:
    """One record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return b"".join([length, next(checksums), data, next(checksums)])
