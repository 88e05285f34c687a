"""The themes. Accents of dark and light are Okabe and Ito's, told apart with every common colour vision; one theme does
with blue and yellow on black, one without any colour.
"""

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
    secondary="#00583F",
    accent="#A86F00",
    warning="#A86F00",
    error="#8F2600",
    success="#00583F",
    foreground="#1C1C1C",
    background="#FBFBF8",
    surface="#F0F0EC",
    panel="#E3E3DD",
)
COLOUR_BLIND = Theme(
    name="odyssey-colour-blind",
    dark=True,
    primary="#7CC0FF",
    secondary="#7CC0FF",
    accent="#FFD84D",
    warning="#FFD84D",
    error="#FFF3B0",
    success="#2F6FE0",
    foreground="#FFFFFF",
    background="#000000",
    surface="#14161A",
    panel="#20242B",
)
NO_COLOUR = Theme(
    name="odyssey-no-colour",
    dark=True,
    primary="#D8D8D8",
    secondary="#B0B0B0",
    accent="#FFFFFF",
    warning="#FFFFFF",
    error="#FFFFFF",
    success="#B8B8B8",
    foreground="#E4E4E4",
    background="#101010",
    surface="#1C1C1C",
    panel="#2A2A2A",
)
THEMES = (DARK, LIGHT, COLOUR_BLIND, NO_COLOUR)
TITLES = {
    DARK.name: "dark",
    LIGHT.name: "light",
    COLOUR_BLIND.name: "blue and yellow on black, for every colour vision",
    NO_COLOUR.name: "no colour: shades, signs and dashes",
}
"""What the palette says of each."""
