"""Reduction, clipping and dashes of polylines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from odyssey_tui.plots.geometry import band_edges, band_halves, bucket_columns, clip_paths, dash_points
from odyssey_tui.plots.raster import Stroke, rasterise, rasterise_spans
from odyssey_tui.plots.series import Line


def test_buckets_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(0, 30, 5000)), rng.normal(size=5000)
    buckets = bucket_columns(x, y, 60, 30.0)
    assert len(buckets) == 60
    for index, (centre, low, mean, high) in enumerate(buckets):
        inside = y[(x >= index / 2) & (x < (index + 1) / 2)]
        np.testing.assert_allclose(
            (centre, low, mean, high), (index / 2 + 0.25, inside.min(), inside.mean(), inside.max())
        )


def test_every_point_counts() -> None:
    y = np.zeros(80_000)
    y[41_234] = 7.0
    buckets = bucket_columns(np.linspace(0, 10, 80_000), y, 20, 10.0)
    assert buckets[:, 3].max() == 7.0


coordinate = st.floats(-50, 70)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=12))
def test_clipped_paths_stay_inside_and_on_the_line(points: list[tuple[float, float]]) -> None:
    line = np.array(points)
    for path in clip_paths(line, 20.0, 10.0):
        assert (path >= -1e-6).all()
        assert (path[:, 0] <= 20 + 1e-6).all()
        assert (path[:, 1] <= 10 + 1e-6).all()
        for point in path:
            assert min(_distance(point, a, b) for a, b in pairwise(line)) < 1e-6


def test_a_line_that_leaves_and_returns_is_two_paths() -> None:
    paths = clip_paths(np.array([[1.0, 5.0], [5.0, 15.0], [9.0, 5.0]]), 20.0, 10.0)
    assert len(paths) == 2
    np.testing.assert_allclose([paths[0][-1], paths[1][0]], [[3.0, 10.0], [7.0, 10.0]])


def test_dashes_cover_their_share_of_the_line() -> None:
    line = [np.array([[0.0, 1.0], [40.0, 1.0]])]
    assert len(dash_points(line, "dashed")) / 80 == np.float64(5 / 8)
    assert 0.2 < len(dash_points(line, "dotted")) / 80 < 0.5


def test_a_band_is_filled_between_its_edges_and_dotted_along_them() -> None:
    x, low, high = np.array([0.0, 10.0]), np.array([1.0, 2.0]), np.array([3.0, 5.0])
    halves = band_halves(x, low, high, 10, 6)
    rows, columns = np.nonzero(halves)
    middles, centres = (rows + 0.5) / 2, columns + 0.5
    assert ((middles >= np.interp(centres, x, low)) & (middles <= np.interp(centres, x, high))).all()
    assert np.abs(halves.sum(axis=0) / 2 - np.interp(np.arange(10) + 0.5, x, high - low)).max() <= 0.5
    dots = band_edges(x, low, high, 10, 6)
    away = [np.abs(dots[:, 1] - np.interp(dots[:, 0], x, edge)) for edge in (low, high)]
    assert np.minimum(*away).max() < 1e-9


def _distance(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    direction = end - start
    length = float(direction @ direction)
    share = 0.0 if length == 0 else float(np.clip((point - start) @ direction / length, 0, 1))
    return float(np.hypot(*(start + share * direction - point)))


def test_envelopes_have_the_dots_of_upright_strokes() -> None:
    rng = np.random.default_rng(5)
    series = []
    for color in ((1, 2, 3), (4, 5, 6), (7, 8, 9)):
        x = (np.sort(rng.choice(60, 25, replace=False)) + 0.5) / 2
        ends = np.sort(rng.uniform(-2, 12, (25, 2)), axis=1)
        series.append((np.column_stack([x, ends]), color))
    drawn = rasterise_spans(30, 10, series)
    strokes = [
        Stroke(path, color, joined=True)
        for spans, color in series
        for x, low, high in spans
        for path in clip_paths(np.array([[x, low], [x, high]]), 30, 10)
    ]
    expected = rasterise(30, 10, strokes)
    assert drawn.characters == expected.characters
    assert drawn.colors == expected.colors


def test_what_a_line_shows_follows_the_axes() -> None:
    line = Line(np.array([1.0, 2.0, np.nan, 4.0]), np.array([3.0, -1.0, 2.0, 5.0]), "", 0, "solid")
    assert line.rises
    assert [len(line.shown(False, log_y)[0]) for log_y in (False, True)] == [3, 2]
    assert [ends.tolist() for ends in line.ends(False, True)] == [[1.0, 4.0], [3.0, 5.0]]
    assert [ends.tolist() for ends in line.ends(False, False)] == [[1.0, 4.0], [-1.0, 5.0]]
    assert not Line(np.array([2.0, 1.0]), np.array([0.0, 0.0]), "", 0, "solid").rises
