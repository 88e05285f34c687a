"""The wire format of protocol buffers, as far as reading a few fields by number needs it.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | bytes
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are no protocol buffer message."""


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(field number, value) in order: whole numbers unsigned as they stand, everything else as its bytes."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            length, position = _varint(data, position)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise WireError(f"field {tag >> 3} has the unknown wire type {kind}")
        if position + length > end:
            raise WireError(f"field {tag >> 3} reaches beyond its message")
        yield tag >> 3, data[position : position + length]
        position += length


def grouped(data: bytes) -> dict[int, list[Value]]:
    """All values by field number."""
    found: dict[int, list[Value]] = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def message(found: dict[int, list[Value]], number: int) -> bytes:
    """The last value of a message or bytes field; empty when absent."""
    value = found.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise WireError(f"field {number} is a number")
    return value


def text(found: dict[int, list[Value]], number: int) -> str:
    """The last value of a text field; empty when absent."""
    return message(found, number).decode(errors="replace")


def signed(value: Value) -> int:
    """An ``int64`` from its unsigned varint."""
    if isinstance(value, bytes):
        raise WireError("bytes where a whole number is expected")
    return value - (1 << 64) if value >> 63 else value


def zigzag(value: Value) -> int:
    """A ``sint64`` from its varint."""
    if isinstance(value, bytes):
        raise WireError("bytes where a whole number is expected")
    return (value >> 1) ^ -(value & 1)


def real(value: Value) -> float:
    """A ``float`` or ``double`` from its 4 or 8 bytes."""
    if not isinstance(value, bytes) or len(value) not in (4, 8):
        raise WireError("a number of another width where a float is expected")
    return struct.unpack("<f" if len(value) == 4 else "<d", value)[0]


def timestamp(data: bytes) -> float | None:
    """Unix seconds of a ``google.protobuf.Timestamp``; None when it is empty."""
    found = grouped(data)
    if not found:
        return None
    return signed(found.get(1, [0])[-1]) + signed(found.get(2, [0])[-1]) * 1e-9


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise WireError("a whole number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
