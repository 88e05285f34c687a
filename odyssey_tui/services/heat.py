"""Colours of a heat map: blue where a loss fell, vermilion where it rose, told apart by colour-blind eyes too.

Okabe and Ito's hues on the background, so that no change is the background itself. Levels, which have no zero, are
shades of one hue.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from odyssey_tui.plots.palette import Rgb, blend, color_of

FAINTEST, STRONGEST = 0.08, 0.75
CURVE = 0.6
"""Below 1: small changes can be told from none beside large ones."""


@dataclass(frozen=True)
class Scale:
    """What the strongest colours stand for. A change is symmetric about 0, a level runs from ``low`` to ``high``."""

    low: float
    high: float
    change: bool

    @classmethod
    def of(cls, values: Iterable[float], *, change: bool) -> Scale:
        """The scale of these values; what is not finite has the strongest colour and no say."""
        finite = [value for value in values if math.isfinite(value)]
        if change:
            most = max(map(abs, finite), default=0.0)
            return cls(-most, most, True)
        return cls(min(finite, default=0.0), max(finite, default=0.0), False)

    def share(self, value: float) -> float:
        """−1 … 1 of a change, 0 … 1 of a level; beyond the ends the ends."""
        if math.isnan(value):
            return 0.0
        span = self.high if self.change else self.high - self.low
        if span <= 0:
            return 0.0 if math.isfinite(value) else math.copysign(1.0, value)
        share = value / span if self.change else (value - self.low) / span
        return min(1.0, max(-1.0 if self.change else 0.0, share))

    def color(self, value: float, *, dark: bool) -> Rgb:
        """The ground of a cell."""
        share = self.share(value)
        strength = abs(share) ** CURVE
        if self.change and not strength:
            return blend((0, 0, 0), 0.0, dark=dark)
        return blend(
            color_of("bad" if share > 0 and self.change else 0, dark=dark),
            FAINTEST + (STRONGEST - FAINTEST) * strength,
            dark=dark,
        )


def ink_on(ground: Rgb) -> Rgb:
    """Black or white, whichever can be read on a colour (relative luminance of WCAG 2)."""

    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = map(linear, ground)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)
