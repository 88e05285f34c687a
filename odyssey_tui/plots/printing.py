"""Charts on standard output: as wide as the terminal, in the colours it has."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

from odyssey_tui.plots.figure import Figure

_NO_TERMINAL = (80, 24)
_WIDEST = 120


def print_figure(figure: Figure, *, height: int = 20) -> None:
    """Print ``figure``: 80 columns and no colours where stdout is no terminal."""
    tty = sys.stdout.isatty()
    width = min(_WIDEST, shutil.get_terminal_size(_NO_TERMINAL).columns) if tty else _NO_TERMINAL[0]
    colors = color_depth(os.environ) if tty else 0
    drawn = figure.render(width, height, color=colors > 0, colors=colors, dark=has_dark_background(os.environ))
    print("\n".join(line.rstrip() for line in drawn.split("\n")))


def color_depth(environment: Mapping[str, str]) -> int:
    """0 under NO_COLOR or a dumb terminal, 2**24 where COLORTERM says so, else 256."""
    if environment.get("NO_COLOR") or environment.get("TERM", "") in ("", "dumb"):
        return 0
    return 2**24 if environment.get("COLORTERM", "") in ("truecolor", "24bit") else 256


def has_dark_background(environment: Mapping[str, str]) -> bool:
    """Whether the terminal says that it is dark (COLORFGBG ends in 0-6 or 8); dark when it says nothing."""
    ground = environment.get("COLORFGBG", "").rpartition(";")[2]
    return not ground.isdigit() or int(ground) in (0, 1, 2, 3, 4, 5, 6, 8)
