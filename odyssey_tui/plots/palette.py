"""Colours of series: colour-blind safe, pinned to a key, distinct past eight by dashes and markers.

The hues are Okabe and Ito's, each in one shade for dark and one for light backgrounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

Rgb = tuple[int, int, int]

DARK: tuple[Rgb, ...] = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 184, 138),  # bluish green
    (221, 140, 184),  # reddish purple
    (240, 228, 66),  # yellow
    (240, 110, 50),  # vermilion
    (120, 140, 255),  # blue
    (190, 190, 190),  # grey
)
LIGHT: tuple[Rgb, ...] = (
    (0, 114, 178),
    (190, 120, 0),
    (0, 125, 92),
    (170, 75, 130),
    (140, 125, 0),
    (190, 70, 0),
    (60, 70, 200),
    (95, 95, 95),
)
DASHES = ("solid", "dashed", "dotted")
MARKERS = ("●", "■", "▲", "◆")
HOLLOW = {"●": "○", "■": "□", "▲": "△", "◆": "◇"}
_NAMED: dict[str, tuple[Rgb, Rgb]] = {
    "muted": ((138, 143, 152), (110, 116, 128)),
    "text": ((225, 228, 232), (35, 38, 44)),
    "good": ((0, 184, 138), (0, 125, 92)),
    "bad": ((240, 110, 50), (190, 70, 0)),
}
"""Colours by role: (on dark, on light)."""


@dataclass(frozen=True)
class SeriesStyle:
    """How series number ``index`` looks: a hue, then a dash and a marker that change every eight series."""

    index: int

    @property
    def dash(self) -> str:
        return DASHES[(self.index // len(DARK)) % len(DASHES)]

    @property
    def marker(self) -> str:
        return MARKERS[(self.index // len(DARK)) % len(MARKERS)]


def color_of(color: int | str, *, dark: bool) -> Rgb:
    """RGB of a series index, of a role (``muted``, ``text``, ``good``, ``bad``) or of ``#rrggbb``."""
    if isinstance(color, int):
        hues = DARK if dark else LIGHT
        return hues[color % len(hues)]
    if color.startswith("#"):
        return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
    return _NAMED[color][0 if dark else 1]


def blend(color: Rgb, share: float, *, dark: bool) -> Rgb:
    """``share`` of the colour, the rest being the background."""
    ground = 18 if dark else 250
    red, green, blue = (round(ground + share * (channel - ground)) for channel in color)
    return red, green, blue


def to_256(color: Rgb) -> int:
    """Nearest of xterm's 6x6x6 cube and its grey ramp."""
    levels = (0, 95, 135, 175, 215, 255)
    cube = [min(range(6), key=lambda i, c=channel: abs(levels[i] - c)) for channel in color]
    near_cube = tuple(levels[i] for i in cube)
    grey = max(0, min(23, round((sum(color) / 3 - 8) / 10)))
    near_grey = (8 + 10 * grey,) * 3
    if _distance(color, near_grey) < _distance(color, near_cube):
        return 232 + grey
    return 16 + 36 * cube[0] + 6 * cube[1] + cube[2]


def _distance(one: Iterable[int], other: Iterable[int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


class Palette:
    """Pins a series index to each key (a run id) and keeps it for as long as the palette lives.

    The preferred hue comes from the key itself, so a run looks the same in the next session unless a neighbour
    took its hue first; keys past eight take the same hues with the next dash and marker.
    """

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._taken: set[int] = set()

    def index(self, key: str) -> int:
        """The index of ``key``, assigned at its first use."""
        if key not in self._index:
            hues = len(DARK)
            preferred = zlib.crc32(key.encode()) % hues
            generation = len(self._index) // hues
            free = (generation * hues + (preferred + step) % hues for step in range(hues))
            self._index[key] = next(index for index in free if index not in self._taken)
            self._taken.add(self._index[key])
        return self._index[key]

    def indices(self, keys: Iterable[str]) -> dict[str, int]:
        """Index of each key; new keys are assigned in sorted order, whatever order they come in."""
        keys = list(keys)
        for key in sorted(keys):
            self.index(key)
        return {key: self.index(key) for key in keys}

    def clear(self) -> None:
        """Forget every key."""
        self._index.clear()
        self._taken.clear()


RUNS = Palette()
"""Colours of runs, the same on every screen of a process."""
