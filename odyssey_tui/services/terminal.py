"""What a terminal can show, as far as the environment says."""

from __future__ import annotations

from collections.abc import Mapping

TRUE_COLOR = 2**24


def color_depth(environment: Mapping[str, str]) -> int:
    """0 under NO_COLOR or a dumb terminal, 2**24 where COLORTERM says so, else 256."""
    if environment.get("NO_COLOR") or environment.get("TERM", "") in ("", "dumb"):
        return 0
    return TRUE_COLOR if environment.get("COLORTERM", "") in ("truecolor", "24bit") else 256


def has_dark_background(environment: Mapping[str, str]) -> bool:
    """Whether the terminal says that it is dark (COLORFGBG ends in 0-6 or 8); dark when it says nothing."""
    ground = environment.get("COLORFGBG", "").rpartition(";")[2]
    return not ground.isdigit() or int(ground) in (0, 1, 2, 3, 4, 5, 6, 8)
