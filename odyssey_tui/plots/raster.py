"""Strokes to braille cells, by plotext.

Axes, titles and legends are ours (round ticks, units, any size), so plotext is given a bare canvas whose rulers are
the canvas coordinates themselves; one character cell is one unit. Envelopes of long lines are a thousand upright
strokes, which would take plotext a fifth of a second: their dots are set here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from odyssey_tui.plots.palette import Rgb

_PLOTEXT = threading.Lock()
"""plotext has one figure per process; screens draw from threads."""
_BRAILLE, _BLANK = np.array([[0x40, 0x80], [0x04, 0x20], [0x02, 0x10], [0x01, 0x08]]), 0x2800
"""Bits of a cell's dots, from the bottom; the character without dots."""
_COLOR = re.compile(r"\x1b\[([0-9;]*)m")


@dataclass(frozen=True)
class Stroke:
    """``points``: [n, 2] canvas coordinates, joined when ``joined``, otherwise single dots."""

    points: np.ndarray
    color: Rgb
    joined: bool


@dataclass
class Cells:
    """Character cells: ``characters`` [rows][columns], one character each; ``colors`` alike (None: the default)."""

    characters: list[list[str]]
    colors: list[list[Rgb | None]]


def rasterise(width: int, height: int, strokes: Sequence[Stroke]) -> Cells:
    """Draw ``strokes`` on ``width`` x ``height`` cells; where two cross, the dots add up and the later colour wins."""
    if not strokes:
        return Cells([[" "] * width for _ in range(height)], [[None] * width for _ in range(height)])
    import plotext

    with _PLOTEXT:
        plotext.terminal.limit(False, False)
        canvas = plotext.figure
        canvas.clear()
        canvas.plot_size(width, height)
        canvas.axes(False)
        canvas.canvas("default")
        for axis, limit in (("x", width), ("y", height)):
            canvas.ruler(axis, 0).frequency(0).lim(0, limit).alignment(lim="edge")
        for stroke in strokes:
            marker = plotext.marker("braille", pixel=plotext.pixel(foreground=stroke.color))
            signal = canvas.signal(stroke.points[:, 0].tolist(), stroke.points[:, 1].tolist(), marker=marker)
            canvas.draw(signal.lines(stroke.joined))
        drawn = canvas.build().string()
        canvas.clear()
    return _parse(drawn, width, height)


def rasterise_spans(width: int, height: int, series: Sequence[tuple[np.ndarray, Rgb]]) -> Cells:
    """Upright strokes on ``width`` x ``height`` cells, as ``rasterise`` draws them: dots add up, the later colour wins.

    ``series``: [n, 3] of x, lower and upper end in canvas coordinates, with their colour.
    """
    dots = np.zeros((height * 4, width * 2), dtype=bool)
    owners = np.full((height, width), -1)
    levels = np.arange(height * 4)[:, None]
    for number, (spans, _) in enumerate(series):
        x, low, high = spans[(spans[:, 2] >= 0) & (spans[:, 1] <= height)].T
        bottom, top = (np.clip(np.floor(ends * 4), 0, height * 4 - 1) for ends in (low, high))
        own = np.zeros_like(dots)
        own[:, np.clip(np.floor(x * 2), 0, width * 2 - 1).astype(int)] = (levels >= bottom) & (levels <= top)
        dots |= own
        owners[own.reshape(height, 4, width, 2).any(axis=(1, 3))] = number
    codes = (dots.reshape(height, 4, width, 2) * _BRAILLE[:, None, :]).sum(axis=(1, 3))
    colors = [color for _, color in series]
    return Cells(
        [[chr(_BLANK + code) if code else " " for code in row] for row in codes[::-1].tolist()],
        [[colors[owner] if owner >= 0 else None for owner in row] for row in owners[::-1].tolist()],
    )


def _parse(drawn: str, width: int, height: int) -> Cells:
    characters: list[list[str]] = []
    colors: list[list[Rgb | None]] = []
    for line in drawn.split("\n")[:height]:
        row: list[str] = []
        shades: list[Rgb | None] = []
        color: Rgb | None = None
        at = 0
        for match in _COLOR.finditer(line):
            text = line[at : match.start()]
            row.extend(text)
            shades.extend([color] * len(text))
            codes = match[1].split(";")
            color = (int(codes[2]), int(codes[3]), int(codes[4])) if len(codes) >= 5 and codes[0] == "38" else None
            at = match.end()
        row.extend(line[at:])
        shades.extend([color] * (len(line) - at))
        characters.append((row + [" "] * width)[:width])
        colors.append((shades + [None] * width)[:width])
    return Cells(characters, colors)
