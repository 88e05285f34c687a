"""Themes: readable, told apart with every common colour vision, and one without colours."""

from __future__ import annotations

from itertools import combinations

import pytest
from textual.app import SystemCommand
from textual.color import Color
from textual.theme import Theme

from odyssey_tui.app import OdysseyApp
from odyssey_tui.settings import Settings
from odyssey_tui.themes import COLOUR_BLIND, LIGHT, NO_COLOUR, THEMES
from store.workspace import Workspace
from tests.support.piloting import settle

Vector = tuple[float, float, float]
VISIONS: dict[str, tuple[Vector, Vector, Vector]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
"""Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB."""


def linear(color: str) -> Vector:
    red, green, blue = (channel / 255 for channel in Color.parse(color).rgb)
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))


def seen(color: str, vision: str) -> Vector:
    rgb = linear(color)
    return tuple(min(1.0, max(0.0, sum(w * c for w, c in zip(row, rgb, strict=True)))) for row in VISIONS[vision])


def lab(rgb: Vector) -> Vector:
    """CIE L*a*b* under D65."""
    red, green, blue = rgb
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(first: str, second: str, vision: str) -> float:
    """ΔE of 1976; 2.3 is just noticeable."""
    pairs = zip(lab(seen(first, vision)), lab(seen(second, vision)), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


def contrast(first: str, second: str) -> float:
    """WCAG's ratio."""
    bright, dark = sorted(
        (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(color), strict=True)) for color in (first, second)),
        reverse=True,
    )
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_is_readable(theme: Theme) -> None:
    for ground in (theme.background, theme.surface, theme.panel):
        assert contrast(theme.foreground, ground) > 7
    for accent in (theme.primary, theme.secondary, theme.accent, theme.warning, theme.error, theme.success):
        assert contrast(accent, theme.background) > 3.5


@pytest.mark.parametrize("theme", [theme for theme in THEMES if theme is not NO_COLOUR], ids=lambda theme: theme.name)
@pytest.mark.parametrize("vision", VISIONS)
def test_accents_are_told_apart(theme: Theme, vision: str) -> None:
    accents = {theme.primary, theme.accent, theme.error, theme.success}
    least = min(difference(first, second, vision) for first, second in combinations(accents, 2))
    assert least > 15


def colours(app: OdysseyApp) -> set[Vector]:
    strips = app.screen._compositor.render_strips()
    styles = [segment.style for strip in strips for segment in strip if segment.style is not None]
    found = [color.triplet for style in styles for color in (style.color, style.bgcolor) if color and color.triplet]
    return {tuple(triplet) for triplet in found}


@pytest.mark.parametrize("way", ["settings", "environment", "palette"])
async def test_without_colours_there_is_only_grey(empty: Workspace, monkeypatch, way: str) -> None:
    if way == "environment":
        monkeypatch.setenv("NO_COLOR", "1")
    app = OdysseyApp(empty, Settings(theme=NO_COLOUR.name if way == "settings" else LIGHT.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        if way == "palette":
            assert any(len(set(color)) > 1 for color in colours(app))
            command = next(one for one in app.get_system_commands(app.screen) if one.title == "Theme no-colour")
            command.callback()
            await settle(pilot)
        assert app.theme == NO_COLOUR.name
        assert app.no_color
        assert all(len(set(color)) == 1 for color in colours(app))


async def test_the_palette_offers_every_other_theme_and_colours_come_back(empty: Workspace) -> None:
    app = OdysseyApp(empty, Settings(theme=NO_COLOUR.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        offered: list[SystemCommand] = list(app.get_system_commands(app.screen))
        titles = {f"Theme {theme.name.removeprefix('odyssey-')}" for theme in THEMES if theme is not NO_COLOUR}
        assert {command.title for command in offered if command.title.startswith("Theme")} == titles
        next(command for command in offered if command.title == "Theme colour-blind").callback()
        await settle(pilot)
        assert (app.theme, app.no_color) == (COLOUR_BLIND.name, False)
        assert any(len(set(color)) > 1 for color in colours(app))
