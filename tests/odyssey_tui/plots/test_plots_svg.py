"""Figures as SVG: well-formed, with everything that the screen shows, where the axes say."""

from __future__ import annotations

import xml.etree.ElementTree as tree

import numpy as np
import pytest

from odyssey_tui.plots.figure import DOT, Figure
from odyssey_tui.plots.palette import LIGHT
from odyssey_tui.plots.svg import MANY_VALUES, draw_svg
from odyssey_tui.plots.svg_shapes import hexadecimal

SVG = "{http://www.w3.org/2000/svg}"


def parse(figure: Figure, **options: object) -> tree.Element:
    return tree.fromstring(draw_svg(figure, **options))


def texts(root: tree.Element) -> list[str]:
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def busy() -> Figure:
    x = np.geomspace(1e4, 1e7, 40)
    figure = Figure("Loss & <tokens>", "adaptation tokens", "loss (nats/token)", log_x=True, note="3 seeds")
    for index, label in enumerate(("PTPP 15", "PTPP 31")):
        y = 2 + 30 / x**0.3 + index / 10
        figure.band(x, y * 0.95, y * 1.05, label, color=index)
        figure.line(x, y, label, color=index, style="dashed" if index else "solid")
        figure.scatter(x[::8], y[::8], label, color=index, hollow=index == 1, low=y[::8] - 0.1, high=y[::8] + 0.1)
    return figure.vline(1e6, "limit").hline(2.5, "target", color="bad")


def test_words_legend_and_reference_labels_are_there_and_escaped() -> None:
    found = texts(parse(busy()))
    assert "Loss & <tokens>  · 3 seeds" in found
    for words in ("adaptation tokens", "loss (nats/token)", "limit", "target", "1M"):
        assert words in found
    assert found.count("PTPP 15") == 1
    assert draw_svg(busy()) == draw_svg(busy())


def test_points_stand_where_the_axes_say() -> None:
    root = parse(Figure().scatter([0, 1, 2], [10, 20, 40], marker="●"))
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")]
    (x0, y0), (x1, y1), (x2, y2) = circles
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert (y0 - y2) / (y0 - y1) == pytest.approx(3.0, abs=0.01)
    ticks = {"".join(t.itertext()): float(t.get("y")) - 4 for t in root.iter(f"{SVG}text")}
    assert ticks["20"] == pytest.approx(y1, abs=0.2)


def test_hues_are_those_for_white_paper_and_a_line_is_dashed() -> None:
    lines = list(parse(busy()).iter(f"{SVG}polyline"))
    assert {line.get("stroke") for line in lines} == {hexadecimal(LIGHT[0]), hexadecimal(LIGHT[1])}
    assert sum(line.get("stroke-dasharray") is not None for line in lines) == 2  # the line and its sample


def test_what_cannot_be_drawn_is_counted_and_breaks_the_line() -> None:
    figure = Figure("x").line([0, 1, 2, 3, 4], [1, 2, np.nan, 3, np.inf]).scatter([1, 2], [np.nan, 1])
    root = parse(figure)
    assert "x  · 3 not drawable" in texts(root)
    assert len(list(root.iter(f"{SVG}polyline"))) == 1
    assert "nan" not in draw_svg(figure)
    assert "inf" not in draw_svg(figure)


def test_names_cover_neither_points_nor_each_other() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.random((2, 60))
    names = [f"domain {number}" for number in range(60)]
    root = parse(Figure().scatter(x, y, names=names))
    placed = [t for t in root.iter(f"{SVG}text") if "".join(t.itertext()).startswith("domain")]
    boxes = [(float(t.get("x")), float(t.get("y")), len("".join(t.itertext())) * 6) for t in placed]
    assert 20 < len(placed) <= 60
    for i, (left, row, width) in enumerate(boxes):
        others = boxes[:i]
        assert not any(abs(row - r) < 9 and left < o + w and o < left + width for o, r, w in others)


def test_many_values_become_an_envelope_of_all_of_them() -> None:
    y = np.zeros(100_000)
    y[54_321] = 7.0
    text = draw_svg(Figure().line(np.arange(100_000.0), y))
    assert len(text) < 60_000
    root = tree.fromstring(text)
    (outline,) = root.iter(f"{SVG}polygon")
    heights = [float(pair.split(",")[1]) for pair in outline.get("points").split()]
    (top,) = (float(r.get("y")) for r in root.iter(f"{SVG}rect") if r.get("x"))
    assert min(heights) < top + 25  # the one high value is in it
    assert MANY_VALUES < 100_000


@pytest.mark.parametrize("figure", [Figure("empty"), Figure().line([1], [2]), Figure().scatter([1], [1], marker="x")])
@pytest.mark.parametrize("size", [(760, 480), (60, 40)])
def test_small_and_empty_figures_are_svg_too(figure: Figure, size: tuple[int, int]) -> None:
    root = parse(figure, width=size[0], height=size[1])
    assert root.get("width") == str(size[0])


def test_every_marker_has_a_shape() -> None:
    for glyph in "●■▲◆○□△◇":
        root = parse(Figure().scatter([1, 2], [1, 2], marker=glyph))
        shapes = [node for node in root.iter() if node.tag in (f"{SVG}circle", f"{SVG}rect", f"{SVG}polygon")]
        assert len(shapes) >= 4  # background, clip and two markers
    assert len(list(parse(Figure().scatter([1, 2], [1, 2], marker=DOT)).iter(f"{SVG}circle"))) == 2
