"""What the C library does with memory that is free again."""

from __future__ import annotations

import contextlib

_M_MMAP_THRESHOLD = -3
_ARRAY_BYTES = 256 * 1024


def return_arrays() -> None:
    """Have glibc give large arrays back to the system as soon as nobody needs them; other C libraries do as they do.

    Left alone it keeps them for later ones of up to 32 MiB: of an overlay of 800,000 points some 20 MiB stay.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _ARRAY_BYTES)
