"""Numbers as people read them, the same on screens and in text tables."""

from __future__ import annotations

import math
import re
from unicodedata import combining, east_asian_width

BLOCKS = " ▏▎▍▌▋▊▉█"
SUFFIXES = ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
FACTORS = {suffix.lower(): factor for factor, suffix in SUFFIXES} | {"b": 1e9}
AMOUNT = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([kmgbtpez]?)$", re.IGNORECASE)

STATE_GLYPHS = {
    "queued": "○",
    "held": "◇",
    "starting": "◔",
    "running": "▶",
    "stopping": "◐",
    "done": "✓",
    "failed": "✗",
    "cancelled": "⊘",
    "lost": "?",
}


def state_text(state: str) -> str:
    """A state with its glyph: readable without colour."""
    return f"{STATE_GLYPHS.get(state, '·')} {state}"


def duration(seconds: float) -> str:
    """``48s``, ``3m20s``, ``2h05m``, ``4d03h``."""
    whole = max(0, math.ceil(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def count(value: float) -> str:
    """A count of tokens, parameters, bytes or FLOPs to three digits: ``1.35M``, ``850``, ``6.2P``."""
    for size, suffix in SUFFIXES:
        if abs(value) >= 0.9995 * size:  # three digits of anything closer would round up to 1,000 of the next smaller
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def parse_count(text: str) -> float | None:
    """The number that ``2.5``, ``1e15``, ``10T`` or ``8.1B`` (8.1 billion) is; None where it is none."""
    found = AMOUNT.match(text.strip())
    return float(found[1]) * FACTORS.get(found[2].lower(), 1.0) if found else None


def size(n_bytes: float) -> str:
    """Bytes in units of thousands: ``1.4 GB``, ``850 kB``."""
    for unit, suffix in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= 0.9995 * unit:
            return f"{n_bytes / unit:.3g} {suffix}"
    return f"{n_bytes:.0f} B"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign, a true minus, and ``–`` where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def spread_text(spread: float) -> str:
    """A standard deviation behind its mean: ``±.012``, ``±1.2``."""
    text = f"{spread:.3f}" if spread < 0.9995 else f"{spread:.3g}"
    return f"±{text.removeprefix('0')}"


def number(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals, ``–`` where there is no value."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def perplexity(loss: float) -> float:
    """exp(loss), infinite where it overflows."""
    return math.exp(loss) if loss < 700 else math.inf


_ONE_CELL_EACH = re.compile("[ -\u02ff\u2010-\u2027\u2190-\u22ff\u2500-\u25fc\u2713-\u2718]*").fullmatch
"""What tables are mostly made of, recognised without a look at every character."""


def width_of(text: str) -> int:
    """Cells that a terminal gives a text: two to wide characters, none to those that stand on others."""
    if text.isascii() or _ONE_CELL_EACH(text):
        return len(text)
    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def cut(text: str, width: int) -> str:
    """At most ``width`` cells, ending in ``…`` where something was cut."""
    if width_of(text) <= width:
        return text
    room, end = width - 1, 0
    while end < len(text) and (taken := width_of(text[end])) <= room:
        room, end = room - taken, end + 1
    return text[:end] + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """A text of ``width`` cells, cut or filled with blanks at its end; ``right``: at its beginning."""
    room = width - width_of(text)
    if room < 0:
        text = cut(text, width)
        room = width - width_of(text)
    return " " * room + text if right else text + " " * room


def bar(share: float, width: int) -> str:
    """A progress bar of ``width`` cells in eighths of a cell."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (BLOCKS[rest] if rest else "")).ljust(width, "·")
