"""The few shapes that an SVG figure is made of, each as one element."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from odyssey_tui.plots.figure import DOT
from odyssey_tui.plots.palette import Rgb

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
GENERATOR = 'data-generator="odyssey"'
"""By it a figure of ours is known again."""
TEXT, SMALL, TITLE = 13.0, 11.0, 15.0
"""Heights of letters."""
GLYPH_WIDTH = 0.56
"""Of a letter, in heights."""
MARK = 4.0
"""Half the width of a marker."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def words(x: float, y: float, text: str, color: str, size: float, anchor: str = "start") -> str:
    """One line of text."""
    aligned = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{color}"{aligned}>{clean(text)}</text>'


def segment(
    start: Sequence[float], end: Sequence[float], color: str, width: float, *, dash: str = "", opacity: float = 1.0
) -> str:
    """One straight line."""
    more = (f' stroke-dasharray="{dash}"' if dash else "") + (f' stroke-opacity="{opacity:g}"' if opacity < 1 else "")
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="{color}" '
        f'stroke-width="{width:g}"{more}/>'
    )


def polyline(points: np.ndarray, color: str, dash: str, *, opacity: float = 1.0) -> str:
    """Joined points."""
    dashed = (f' stroke-dasharray="{dash}"' if dash else "") + (f' stroke-opacity="{opacity:g}"' if opacity < 1 else "")
    return f'<polyline points="{listed(points)}" fill="none" stroke="{color}" stroke-width="1.8"{dashed}/>'


def listed(points: np.ndarray) -> str:
    """Points as SVG lists them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def measure(text: str, size: float) -> float:
    """About how wide a text is."""
    return len(text) * size * GLYPH_WIDTH


def clean(text: str) -> str:
    """Text that XML can hold: no control characters, the signs of markup escaped."""
    return escape("".join(char if char.isprintable() else " " for char in text))


def hexadecimal(color: Rgb) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def marker(glyph: str, x: float, y: float, color: str, count: int = 1) -> str:
    """One marker as a shape; of characters that have none, the character."""
    size = MARK if count <= 500 else MARK / 2
    filled = glyph in "●■▲◆"
    look = f'fill="{color}"' if filled else f'fill="none" stroke="{color}" stroke-width="1.5"'
    if glyph == DOT:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1" fill="{color}"/>'
    if glyph in "●○":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" {look}/>'
    if glyph in "■□":
        return f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size:g}" height="{2 * size:g}" {look}/>'
    corners = {"▲△": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)), "◆◇": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0))}
    for glyphs, shape in corners.items():
        if glyph in glyphs:
            return f'<polygon points="{listed(np.array(shape) * size + [x, y])}" {look}/>'
    return words(x, y + 4, glyph, color, TEXT, "middle")


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
