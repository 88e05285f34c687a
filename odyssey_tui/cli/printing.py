"""Sentences and charts on standard output: as wide as the terminal, in the colours it has; 80 columns without one."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from odyssey_tui.services.terminal import color_depth, has_dark_background

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure

_NO_TERMINAL = 80
_WIDEST_TEXT, _WIDEST_FIGURE = 100, 120


def terminal_width() -> int:
    """Columns of the terminal that stdout is, else 80."""
    return shutil.get_terminal_size((_NO_TERMINAL, 24)).columns if sys.stdout.isatty() else _NO_TERMINAL


def print_wrapped(text: str, *, bullet: str = "") -> None:
    """Print a sentence in lines that fit, hanging under its bullet."""
    width = min(_WIDEST_TEXT, terminal_width())
    # Names of runs and options stay whole: they are there to be copied.
    lines = textwrap.fill(
        text,
        width,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
        break_long_words=False,
    )
    print(lines)


def say_wrapped(text: str) -> None:
    """A remark on stderr, in lines as wide as the tables on stdout; names of runs and files stay whole."""
    lines = textwrap.fill(
        text, terminal_width(), subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )
    click.echo(lines, err=True)


def say_logout() -> None:
    """Warn, where logging out would stop the queue that was started just now."""
    from engine.launch.login import warn_of_logout

    if warning := warn_of_logout():
        say_wrapped(f"note: {warning}")


def print_figure(figure: Figure, *, height: int = 20) -> None:
    """Print a chart of ``height`` lines; without colours where stdout is no terminal or wants none."""
    colors = color_depth(os.environ) if sys.stdout.isatty() else 0
    width = min(_WIDEST_FIGURE, terminal_width())
    drawn = figure.render(width, height, color=colors > 0, colors=colors, dark=has_dark_background(os.environ))
    print("\n".join(line.rstrip() for line in drawn.split("\n")))
