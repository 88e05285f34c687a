"""Records of a TFRecord file: length, masked CRC-32C of it, data, masked CRC-32C of the data.

Source: tensorflow/tsl/lib/io/record_writer.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

_POLYNOMIAL = 0x82F63B78


def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (_POLYNOMIAL if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


_TABLE = _table()


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord stores it."""
    table, crc = _TABLE, 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: Path, complain: Callable[[str, str], None]) -> Iterator[tuple[int, bytes, Callable[[], bool]]]:
    """(offset, data, check) of each record; ``check()`` says whether the data are what was written.

    The data's checksum is left to the caller, because most bytes of a log are images and histograms that nobody reads.
    A torn end and a damaged length are told by ``complain(place, reason)``; after a damaged length nothing more of the
    file can be read.
    """
    with open(path, "rb") as file:
        offset = 0
        while header := file.read(12):
            if len(header) < 12:
                complain(f"byte {offset}", "the last record is cut off")
                return
            length, checksum = struct.unpack("<QI", header)
            if masked_crc32c(header[:8]) != checksum:
                complain(f"byte {offset}", "damaged (the checksum of a length differs): the rest was not read")
                return
            data, footer = file.read(length), file.read(4)
            if len(data) < length or len(footer) < 4:
                complain(f"byte {offset}", "the last record is cut off")
                return
            yield offset, data, lambda data=data, footer=footer: masked_crc32c(data) == struct.unpack("<I", footer)[0]
            offset += 16 + length
