"""Arrow arrays as numpy's, without what Arrow imports for that: pandas, half a second that screens have no use for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def numbers_of(values: pa.Array, kind: type[np.number]) -> np.ndarray:
    """An array that is of this kind, without a copy; nulls of floats are NaN, of integers nothing in particular."""
    if not len(values):
        return np.empty(0, kind)
    content = values.buffers()[1]
    found = np.frombuffer(content, kind, len(values), values.offset * np.dtype(kind).itemsize)
    if values.null_count and issubclass(kind, np.floating):
        found = np.where(present(values), found, kind(np.nan))
    return found


def present(values: pa.Array) -> np.ndarray:
    """Which elements are not null."""
    bits = values.buffers()[0]
    if bits is None or not values.null_count:
        return np.ones(len(values), bool)
    count = values.offset + len(values)
    unpacked = np.unpackbits(np.frombuffer(bits, np.uint8), count=count, bitorder="little")
    return unpacked[values.offset :].astype(bool)
