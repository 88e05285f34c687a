"""Sentences on standard output, wrapped to the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap

_WIDEST = 100


def print_wrapped(text: str, *, bullet: str = "") -> None:
    """Print a sentence in lines that fit the terminal (80 columns where there is none), hanging under its bullet."""
    width = min(_WIDEST, shutil.get_terminal_size((80, 24)).columns) if sys.stdout.isatty() else 80
    print(textwrap.fill(text, width, initial_indent=bullet, subsequent_indent=" " * len(bullet)))
