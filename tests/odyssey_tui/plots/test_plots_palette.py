"""Colours stay with their keys."""

from __future__ import annotations

from odyssey_tui.plots.palette import DARK, LIGHT, Palette, SeriesStyle, color_of, to_256


def test_a_key_keeps_its_index_whatever_comes_later() -> None:
    palette = Palette()
    first = {key: palette.index(key) for key in ("a", "b", "c")}
    for number in range(40):
        palette.index(f"run-{number}")
    assert {key: palette.index(key) for key in first} == first


def test_indices_do_not_depend_on_the_order_of_the_keys() -> None:
    keys = [f"run-{number}" for number in range(20)]
    assert Palette().indices(keys) == Palette().indices(reversed(keys))


def test_twenty_four_series_look_different() -> None:
    palette = Palette()
    indices = [palette.index(f"run-{number}") for number in range(24)]
    looks = {(color_of(index, dark=True), SeriesStyle(index).dash) for index in indices}
    assert len(looks) == 24


def test_hues_have_contrast_on_their_background() -> None:
    def luminance(color: tuple[int, int, int]) -> float:
        linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert all((luminance(hue) + 0.05) / (luminance((18, 20, 23)) + 0.05) > 4.5 for hue in DARK)
    assert all((luminance((251, 251, 248)) + 0.05) / (luminance(hue) + 0.05) > 3 for hue in LIGHT)


def test_nearest_of_256() -> None:
    assert to_256((255, 0, 0)) == 196
    assert to_256((128, 128, 128)) == 244
