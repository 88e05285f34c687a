"""Held-out sequences that training scores now and then: the same ones every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.data.tokens import TokenStream
    from engine.report import Report
    from engine.spec.run import Training


def hold_out(streams: Sequence[TokenStream], training: Training, report: Report) -> tuple[np.ndarray, ...]:
    """Windows over ``streams`` to validate on: int64 (rows, length) for each, together ``validate_tokens`` at most.

    Streams have equal shares, and a stream's windows lie evenly over it; one that is shorter than a training sequence
    is one window. Empty when no validation is asked for. A stream without text is left out with a warning.
    """
    if not training.validate_every:
        return ()
    share = training.validate_tokens // len(streams)
    chosen = []
    for stream in streams:
        length = min(training.sequence, share, len(stream))
        if length < 2:
            report.warning(
                f"corpus '{stream.name}' is not validated on: {len(stream)} tokens in its {stream.split} split"
            )
            continue
        there = len(stream) // length
        rows = min(there, share // length)
        starts = np.arange(rows) * there // rows * length
        chosen.append(np.stack([np.asarray(stream.tokens[s : s + length], dtype=np.int64) for s in starts]))
    return tuple(chosen)
