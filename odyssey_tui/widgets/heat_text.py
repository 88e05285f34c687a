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


def heat_text(passage: Passage, masked: frozenset[int] = frozenset(), *, dark: bool = True) -> Text:
    """The passage as styled text; line ends show as ``⏎`` and end the line; masked tokens are struck through."""
    text = Text(overflow="fold")
    for token in passage.tokens:
        text.append(_shown(token), style=_style(token, token.token_id in masked, dark=dark))
    return text


def heat_legend(*, dark: bool) -> Text:
    """What the grounds mean."""
    rise, fall = (_ground(delta, dark=dark) for delta in (_FULL_HEAT, -_FULL_HEAT))
    return Text().append(" loss rose ", rise).append(" ").append(" fell ", fall)


def _shown(token: HeatToken) -> str:
    if token.token_class == "newline":
        return token.text.replace("\\r\\n", "\\n").replace("\\r", "\\n").replace("\\n", "⏎\n").replace("\\t", TAB)
    return token.text.replace("\\t", TAB) if token.token_class == "whitespace" else token.text


def _style(token: HeatToken, masked: bool, *, dark: bool) -> str:
    delta = token.delta
    if delta is None:
        return "dim"
    marks = "strike " if masked else ""
    if abs(delta) < _NOTICEABLE:
        return marks.strip()
    # Without colours the strongest rises must still stand out.
    marks += "bold underline " if delta >= _STRONG else ""
    return marks + _ground(delta, dark=dark)


def _ground(delta: float, *, dark: bool) -> str:
    strength = 0.15 + 0.5 * min(1.0, abs(delta) / _FULL_HEAT) ** 0.7
    red, green, blue = blend(color_of("bad" if delta > 0 else 0, dark=dark), strength, dark=dark)
    return f"on #{red:02x}{green:02x}{blue:02x}"
