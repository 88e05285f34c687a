"""Text as a heat map: each token on a ground that says how much its loss rose (warm) or fell (cool)."""

from __future__ import annotations

from rich.text import Text

from odyssey_tui.plots.palette import blend, color_of
from odyssey_tui.services.passages import HeatToken, Passage

_FULL_HEAT = 3.0
"""Nats at which the ground is strongest."""
TAB = "⇥   "
_NOTICEABLE = 0.1
_STRONG = 1.0
_STANDING_OUT = "bold underline"


def heat_text(passage: Passage, masked: frozenset[int] = frozenset(), *, dark: bool = True, color: bool = True) -> Text:
    """The passage as styled text; line ends show as ``⏎`` and end the line; masked tokens are struck through.

    Without ``color`` only strong rises stand out.
    """
    text = Text(overflow="fold")
    for token in passage.tokens:
        text.append(_shown(token), style=_style(token, token.token_id in masked, dark=dark, color=color))
    return text


def heat_legend(*, dark: bool, color: bool) -> Text:
    """What the grounds mean; without colours, what the underlining means."""
    if not color:
        return Text(f"rose by {_STRONG:g} nat or more", _STANDING_OUT)
    rise, fall = (_ground(delta, dark=dark) for delta in (_FULL_HEAT, -_FULL_HEAT))
    return Text().append(" loss rose ", rise).append(" ").append(" fell ", fall)


def _shown(token: HeatToken) -> str:
    if token.token_class == "newline":
        return token.text.replace("\\r\\n", "\\n").replace("\\r", "\\n").replace("\\n", "⏎\n").replace("\\t", TAB)
    return token.text.replace("\\t", TAB) if token.token_class == "whitespace" else token.text


def _style(token: HeatToken, masked: bool, *, dark: bool, color: bool) -> str:
    delta = token.delta
    if delta is None:
        return "dim"
    marks = "strike " if masked else ""
    if abs(delta) < _NOTICEABLE:
        return marks.strip()
    if color:
        return marks + _ground(delta, dark=dark)
    return marks + (_STANDING_OUT if delta >= _STRONG else "")


def _ground(delta: float, *, dark: bool) -> str:
    strength = 0.15 + 0.5 * min(1.0, abs(delta) / _FULL_HEAT) ** 0.7
    red, green, blue = blend(color_of("bad" if delta > 0 else 0, dark=dark), strength, dark=dark)
    return f"on #{red:02x}{green:02x}{blue:02x}"
