"""What is pressed in each program: rows of runs, an overlay of the long curves, then nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.viewing.visit import Step, Visit

ROOT = Path(__file__).resolve().parent.parent.parent
LONG_RUNS = 8
ROWS, IDLE_S = 40, 10.0
DOWN, HOME, TAB = "\x1b[B", "\x1b[H", "\t"
WHEEL_UP, WHEEL_DOWN = "\x1b[<64;60;6M", "\x1b[<65;60;6M"
"""Over the first chart of W&B's application, which zooms by the wheel alone."""


def odyssey_visit(workspace: Path, *, stay: bool = False) -> Visit:
    """The ``odyssey`` command; ``stay``: keys on Runs, then on the curves of Compare.

    The first heading is that of the bases, the second that of the long runs, all of which Space on it marks.
    """
    steps = (
        Step(("j",), "row", ROWS),
        Step(("g", "j", " ")),
        Step(("2",), "overlay", shows="long-r0.4375"),
        Step((TAB, TAB)),
        Step(("+", "+", "L", "y", "H", "-", "y", "0"), "chart", 5),
    )
    return Visit(
        (str(beside(sys.executable, "odyssey")), "-w", str(workspace)),
        r"long-r0\b",
        environment=(("PYTHONPATH", str(ROOT)),),
        steps=steps if stay else (),
        idle_s=IDLE_S if stay else 0.0,
    )


def leet_visit(python: str, runs: Path, *, stay: bool = False) -> Visit:
    """W&B's application on a folder of offline runs. The first run is chosen when it starts."""
    steps = (
        Step((DOWN,), "row", ROWS),
        Step((HOME,)),
        Step((DOWN, " "), times=LONG_RUNS - 1),
        Step((TAB, DOWN)),
        Step((WHEEL_UP, WHEEL_UP, "y", WHEEL_DOWN, "y", "y"), "chart", 6),
    )
    return Visit(
        (str(beside(python, "wandb")), "leet", str(runs)),
        r"offline-run-\d{8}",
        environment=(("PYTHONPATH", ""), ("HOME", str(runs.parent)), ("WANDB_MODE", "offline")),
        steps=steps if stay else (),
        idle_s=IDLE_S if stay else 0.0,
    )


def harlequin_visit(python: str, folder: Path) -> Visit:
    """Harlequin without a database: it has no runs to list, only a start to compare."""
    environment = (("PYTHONPATH", ""), ("HOME", str(folder)))
    return Visit((str(beside(python, "harlequin")),), "", environment=environment)


def beside(python: str, command: str) -> Path:
    """The script that an environment installs for a command."""
    return Path(shutil.which(python) or python).absolute().with_name(command)
