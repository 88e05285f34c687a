"""Words on how far a long benchmark got, past the harness that keeps what a contender prints."""

from __future__ import annotations

import os
from contextlib import suppress

PROGRESS_VARIABLE = "BENCH_PROGRESS"


def say(text: str) -> None:
    """Append a line to the file that ``BENCH_PROGRESS`` names, if it does and can be written."""
    with suppress(KeyError, OSError), open(os.environ[PROGRESS_VARIABLE], "a") as file:
        file.write(f"  … {text}\n")
