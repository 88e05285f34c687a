"""A dark and a light theme; accents from Okabe and Ito's palette, told apart with every common colour vision."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="odyssey-dark",
    dark=True,
    primary="#56B4E9",
    secondary="#009E73",
    accent="#E69F00",
    warning="#E69F00",
    error="#D55E00",
    success="#009E73",
    foreground="#E4E4E4",
    background="#121417",
    surface="#1C2026",
    panel="#252A31",
)
LIGHT = Theme(
    name="odyssey-light",
    dark=False,
    primary="#0072B2",
    secondary="#007A59",
    accent="#A86F00",
    warning="#A86F00",
    error="#B84A00",
    success="#007A59",
    foreground="#1C1C1C",
    background="#FBFBF8",
    surface="#F0F0EC",
    panel="#E3E3DD",
)
THEMES = (DARK, LIGHT)
