"""How far work in another process is: one line on stderr, gone at the end."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

import click

from odyssey_tui.services.format import bar, duration

LINE_S = 5.0
"""Seconds between lines of progress where stderr is no terminal."""


class Progress:
    """In place on a terminal, now and then a new line elsewhere. ``unit``: what is counted; empty: steps by name."""

    def __init__(self, unit: str = "") -> None:
        self._unit = unit
        self._live = sys.stderr.isatty()
        self._said = time.monotonic()
        self._started: float | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            click.echo("\r\x1b[2K", nl=False, err=True)

    def hear(self, progress: dict[str, Any]) -> None:
        """Show what the work is at."""
        now = time.monotonic()
        if not self._live and now - self._said < LINE_S:
            return
        self._said = now
        text = self._text(now, **progress)
        if self._live:
            width = shutil.get_terminal_size((80, 24)).columns - 1
            click.echo(f"\r\x1b[2K{text[:width]}", nl=False, err=True)
        else:
            click.echo(text, err=True)

    def _text(self, now: float, phase: str, done: int, total: int) -> str:
        if not total:
            return f"{phase} …"
        if self._started is None:
            self._started = now
        if not self._unit:
            return f"{bar(done / total, 12)} {done + 1 if done < total else total} of {total}: {phase}"
        seconds = now - self._started
        rate = f", {done / seconds:,.0f} {self._unit}/s" if seconds > 1 else ""
        left = f", about {duration(seconds * (total - done) / done)} left" if seconds > 1 else ""
        return f"{bar(done / total, 12)} {done / total:4.0%} {done:,} of {total:,} {self._unit}{rate}{left}"
