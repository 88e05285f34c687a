"""Words on how far a long benchmark got, past the harness that keeps what a contender prints."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

PROGRESS_VARIABLE = "BENCH_PROGRESS"


def say(text: str) -> None:
    """A line for whoever listens at the pipe that ``BENCH_PROGRESS`` names; without one, nothing."""
    with suppress(KeyError, OSError), open(os.environ[PROGRESS_VARIABLE], "a") as pipe:
        pipe.write(f"  … {text}\n")


def listen(folder: Path) -> Path:
    """A named pipe in ``folder`` whose lines go to stderr as long as this process lives."""
    path = folder / "progress"
    os.mkfifo(path)
    # Opened to write too, so that it never ends between two writers.
    pipe = os.fdopen(os.open(path, os.O_RDWR), "r")

    def repeat() -> None:
        for line in pipe:
            print(line, end="", file=sys.stderr, flush=True)

    threading.Thread(target=repeat, daemon=True).start()
    return path
