"""Figures as text: any size, nothing dropped silently, marks where the axes say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.series import View

BRAILLE = re.compile("[\u2801-\u28ff]")


def plain(figure: Figure, width: int = 80, height: int = 24, **options: object) -> list[str]:
    return figure.render(width, height, color=False, **options).split("\n")


def busy() -> Figure:
    x = np.geomspace(1e4, 1e7, 40)
    figure = Figure("Loss against tokens", "adaptation tokens", "loss (nats/token)", log_x=True)
    for index, label in enumerate(("PTPP 15", "PTPP 31", "PTPP 279")):
        y = 2 + 30 / x**0.3 + index / 10
        figure.band(x, y * 0.95, y * 1.05, color=index)
        figure.line(x, y, label, color=index)
        figure.scatter(x[::8], y[::8], label, color=index, hollow=index == 2, low=y[::8] - 0.1, high=y[::8] + 0.1)
    return figure.vline(1e6, "limit").hline(2.5, "target", color="bad")


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9, 20, 40, 80, 250])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 7, 8, 24, 80])
@pytest.mark.parametrize("figure", [busy(), Figure("empty"), Figure().line([1], [2])], ids=["busy", "empty", "dot"])
def test_every_size_is_exactly_filled(figure: Figure, width: int, height: int) -> None:
    lines = plain(figure, width, height)
    assert [len(line) for line in lines] == [width] * height


def test_smallest_useful_size_has_axis_ticks_and_data() -> None:
    text = "\n".join(plain(busy(), 20, 5))
    assert "└" in text
    assert "1M" in text
    assert BRAILLE.search(text)


def test_titles_units_legend_and_reference_labels_are_there() -> None:
    text = "\n".join(plain(busy()))
    for words in ("Loss against tokens", "adaptation tokens", "loss (nats/token)", "━━● PTPP 15", "┈┈△ PTPP 279"):
        assert words in text
    assert "limit" in text
    assert "target" in text


def test_points_stand_in_the_rows_of_their_ticks() -> None:
    figure = Figure().scatter([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0], marker="●")
    rows = [line for line in plain(figure, 60, 20) if "●" in line]
    labels = [re.match(r"\s*(\d)\.?\d*┤", row) for row in rows]
    assert [match[1] for match in labels if match] == ["4", "3", "2", "1"]


def test_points_stand_over_their_x_ticks() -> None:
    lines = plain(Figure().scatter([10, 20, 30], [1, 1, 1], marker="●"), 60, 12)
    columns = [match.start() for match in re.finditer("●", next(line for line in lines if "●" in line))]
    ticks = [match.start() for match in re.finditer("┬", next(line for line in lines if "┬" in line))]
    assert set(columns) <= set(ticks)


def test_what_cannot_be_drawn_is_counted() -> None:
    figure = Figure("t").line([1, 2, 3, 4], [1.0, np.nan, np.inf, 2.0]).scatter([1, 2], [-np.inf, 1.0])
    assert "3 not drawable" in plain(figure)[0]
    log = Figure("t", log_y=True).line([1, 2, 3], [0.0, 1.0, 10.0])
    assert "1 not drawable" in plain(log)[0]


def test_a_value_that_is_not_finite_breaks_the_line() -> None:
    row = next(
        line for line in plain(Figure().line(range(9), [1, 1, 1, 1, np.nan, 1, 1, 1, 1]), 60, 8) if BRAILLE.search(line)
    )
    body = row.split("┤")[-1].split("│")[-1].strip()
    assert re.search(r"[\u2801-\u28ff] {2,}[\u2801-\u28ff]", body)


def test_long_lines_say_how_many_points_and_keep_their_spikes() -> None:
    y = np.ones(80_000)
    y[12_345] = 9.0
    lines = plain(Figure("Training loss").line(np.arange(80_000), y, "seed 0"), 80, 20)
    assert "80,000 points" in lines[0]
    top = lines[2:5]
    assert sum(len(BRAILLE.findall(line)) for line in top) >= 2


def test_series_past_eight_differ_by_dash_and_the_first_ones_too_without_colour() -> None:
    figure = Figure()
    for index in range(24):
        figure.line([0, 1], [index, index], f"s{index}", color=index)
    plain_text = figure.render(120, 40, color=False)
    assert "\x1b" not in plain_text
    assert all(sample in plain_text for sample in ("━━ s0", "╍╍ s1", "┈┈ s2"))
    colored = re.sub("\x1b\\[[0-9;]*m", "", figure.render(120, 40))
    assert all(sample in colored for sample in ("━━ s0", "━━ s7", "╍╍ s8", "┈┈ s16"))


def test_colour_depth_and_background() -> None:
    figure = Figure().line([0, 1], [0, 1], color=0)
    assert "38;2;86;180;233" in figure.render(40, 10)
    assert "38;2;0;114;178" in figure.render(40, 10, dark=False)
    assert re.search(r"38;5;\d+m", figure.render(40, 10, colors=256))
    assert "38;2;" not in figure.render(40, 10, colors=256)


def test_a_view_shows_a_part_and_may_change_the_scale() -> None:
    figure = Figure().scatter([1, 10, 100, 1000], [1, 2, 3, 4], marker="●")
    assert "\n".join(plain(figure, view=View(x=(0, 15)))).count("●") == 2
    columns = [line.index("●") for line in plain(figure, view=View(log_x=True)) if "●" in line]
    steps = np.diff(columns[::-1])
    assert steps.max() - steps.min() <= 1


def test_hostile_labels_neither_colour_nor_shift_the_page() -> None:
    figure = Figure("a\x1b[31mb\u202ec\nd", "x", "y").line([0, 1], [0, 1], "日本語\x07")
    text = figure.render(60, 12, color=False)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert [len(line) for line in text.split("\n")] == [60] * 12


def test_more_series_than_fit_the_legend_are_counted() -> None:
    figure = Figure()
    for index in range(30):
        figure.line([0, 1], [index, index], f"a rather long name {index}", color=index)
    assert re.search(r"\+\d+ more", "\n".join(plain(figure, 60, 14)))


def test_mismatched_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 x values for 3 y values"):
        Figure().line([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 names for 2 points"):
        Figure().scatter([1, 2], [1, 2], names=["a"])


def test_a_band_is_a_light_ground_in_colour_and_dotted_edges_without() -> None:
    figure = Figure().band([0, 10], [1.0, 1.0], [9.0, 9.0], color=0).scatter([5], [5.0], color=1)
    colored = figure.render(40, 20)
    grounds = re.findall(r"48;2;(\d+;\d+;\d+)m", colored)
    assert len(set(grounds)) == 1
    assert re.search(r"48;2;[\d;]+m●", colored)
    assert not BRAILLE.search(colored)
    rows = [index for index, line in enumerate(plain(figure, 40, 20)) if BRAILLE.search(line)]
    assert len(rows) == 2


def test_without_colour_neighbours_never_look_alike() -> None:
    figure = Figure().line([0, 1], [0, 1], "a", color=0).line([0, 1], [1, 2], "b", color=3).line([0, 1], [2, 3], "c", 6)
    legend = "".join(plain(figure, 60, 20)[:3])
    assert all(sample in legend for sample in ("━━ a", "╍╍ b", "┈┈ c"))
