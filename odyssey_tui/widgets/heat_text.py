"""Text as a heat map: each token on a ground that says how much its loss rose (warm) or fell (cool)."""

from __future__ import annotations

from rich.text import Text

from odyssey_tui.plots.palette import blend, color_of
from odyssey_tui.services.passages import STRONG, HeatToken, Passage
from odyssey_tui.services.token_text import flowing

_FULL_HEAT = 3.0
"""Nats at which the ground is strongest."""
_NOTICEABLE = 0.1
_STANDING_OUT = "bold underline"
_MASKED = "dim strike"
_SOUGHT = "bold reverse"


def heat_text(
    passage: Passage,
    masked: frozenset[int] = frozenset(),
    sought: frozenset[int] = frozenset(),
    *,
    dark: bool = True,
    color: bool = True,
) -> Text:
    """The passage as styled text; line ends show as ``⏎`` and end the line.

    Masked tokens are dimmed and struck through, whatever their loss did; tokens ``sought`` stand out. Without ``color``
    only strong rises do.
    """
    text = Text(overflow="fold")
    for token in passage.tokens:
        shown = flowing(token.text, token.token_class)
        if token.token_id in sought and not shown.strip():
            shown = shown.replace(" ", "␣")
        text.append(shown, style=_style(token, masked, sought, dark=dark, color=color))
    return text


def heat_legend(*, dark: bool, color: bool) -> Text:
    """What the grounds mean; without colours, what the underlining means."""
    if not color:
        return Text(f"rose by {STRONG:g} nat or more", _STANDING_OUT)
    rise, fall = (_ground(delta, dark=dark) for delta in (_FULL_HEAT, -_FULL_HEAT))
    return Text().append(" loss rose ", rise).append(" ").append(" fell ", fall)


def _style(token: HeatToken, masked: frozenset[int], sought: frozenset[int], *, dark: bool, color: bool) -> str:
    delta = token.delta
    if delta is None:
        return "dim"
    if token.token_id in masked:
        return _MASKED
    if token.token_id in sought:
        return f"{_STANDING_OUT} {_ground(delta, dark=dark)}" if color else _SOUGHT
    if abs(delta) < _NOTICEABLE:
        return ""
    if color:
        return _ground(delta, dark=dark)
    return _STANDING_OUT if delta >= STRONG else ""


def _ground(delta: float, *, dark: bool) -> str:
    strength = 0.15 + 0.5 * min(1.0, abs(delta) / _FULL_HEAT) ** 0.7
    red, green, blue = blend(color_of("bad" if delta > 0 else 0, dark=dark), strength, dark=dark)
    return f"on #{red:02x}{green:02x}{blue:02x}"
