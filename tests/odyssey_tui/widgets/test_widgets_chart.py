"""The chart widget: drawn once per change, moved by keys, calm when empty."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.layout import resolve_axes
from odyssey_tui.widgets.chart import Chart
from tests.support.piloting import record_painting


class Host(App[None]):
    def __init__(self, chart: Chart) -> None:
        super().__init__()
        self.chart = chart

    def compose(self) -> ComposeResult:
        yield self.chart

    def text(self) -> str:
        return "\n".join(self.chart.render_line(row).text for row in range(self.chart.size.height))


def figure() -> Figure:
    return Figure("Loss", "tokens", "nats").line([1, 10, 100], [3, 2, 1], "run")


async def test_shows_the_figure_and_fills_its_size() -> None:
    app = Host(Chart(figure()))
    async with app.run_test(size=(60, 20)):
        assert "━━ run" in app.text()
        assert [len(line) for line in app.text().split("\n")] == [60] * 20


async def test_draws_once_until_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int]] = []
    page = Figure.page
    monkeypatch.setattr(
        Figure,
        "page",
        lambda self, width, height, **o: (drawn.append((width, height)), page(self, width, height, **o))[1],
    )
    app = Host(Chart(figure()))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        app.text()
        app.chart.refresh()
        await pilot.pause()
        assert drawn == [(60, 20)]
        await pilot.resize_terminal(70, 18)
        await pilot.pause()
        assert drawn[-1] == (70, 18)


async def test_keys_zoom_pan_and_reset() -> None:
    app = Host(Chart(figure()))
    async with app.run_test(size=(60, 20)) as pilot:
        app.chart.focus()
        await pilot.press("plus")
        zoomed = app.chart.view.x
        assert zoomed is not None
        assert zoomed[1] - zoomed[0] == pytest.approx(0.7 * 1.08 * 99)
        await pilot.press("L")
        panned = app.chart.view.x
        assert panned is not None
        assert panned[0] - zoomed[0] == pytest.approx((zoomed[1] - zoomed[0]) / 4)
        await pilot.press("0")
        assert app.chart.view.x is None


async def test_log_axes_toggle_and_outlive_new_data_but_zoom_does_not() -> None:
    app = Host(Chart(figure()))
    async with app.run_test(size=(60, 20)) as pilot:
        app.chart.focus()
        await pilot.press("y", "Y", "plus")
        app.chart.show(figure(), keep_view=True)
        assert app.chart.view.x is not None
        app.chart.show(figure())
        assert app.chart.view.x is None
        assert app.chart.view.log_y is True
        await pilot.press("y")
        assert app.chart.view.log_y is False


async def test_an_empty_chart_says_what_to_do() -> None:
    app = Host(Chart(None, empty="No runs yet.\nPress n for a sweep."))
    async with app.run_test(size=(40, 10)) as pilot:
        assert "Press n for a sweep." in app.text()
        app.chart.show(Figure("t").line([], []))
        await pilot.press("plus")
        assert "No runs yet." in app.text()


async def test_light_and_dark_themes_have_their_own_colours() -> None:
    app = Host(Chart(figure()))
    async with app.run_test(size=(60, 20)) as pilot:
        app.theme = "textual-light"
        await pilot.pause()
        light = {
            segment.style.color.triplet
            for row in range(20)
            for segment in app.chart.render_line(row)
            if segment.style and segment.style.color
        }
        assert (0, 114, 178) in light


def noisy() -> Figure:
    return Figure("Loss", "tokens", "nats").line([1, 2, 3, 4], [4, 2, 3, 1], "run", noisy=True)


async def test_keys_smooth_only_what_is_noisy() -> None:
    app = Host(Chart(noisy()))
    async with app.run_test(size=(60, 20)) as pilot:
        app.chart.focus()
        await pilot.press("s", "s")
        assert app.chart.view.smoothing == 0.8
        assert "smoothed 0.8" in app.text()
        await pilot.press("S", "S", "S")
        assert app.chart.view.smoothing == 0.0
        app.chart.show(figure())
        await pilot.press("s")
        assert app.chart.view.smoothing == 0.0


async def test_the_cross_hair_moves_reads_and_goes() -> None:
    app = Host(Chart(noisy()))
    async with app.run_test(size=(60, 20)) as pilot:
        app.chart.focus()
        assert not app.chart.check_action("cursor_off", ())
        await pilot.press("l")
        assert app.chart.view.cursor == pytest.approx(2.5)
        await pilot.press("l", "right")
        assert app.chart.view.cursor > 2.5
        assert app.chart.readings[0].y == 3
        await pilot.press(*["shift+right"] * 12)
        assert app.chart.view.cursor == pytest.approx(4)
        assert "run 1" in app.text()
        await pilot.press(*["shift+left"] * 12, "h")
        assert app.chart.view.cursor == pytest.approx(1)
        await pilot.press("escape")
        assert app.chart.view.cursor is None
        assert app.chart.readings == ()


async def test_the_cross_hair_stays_in_sight_of_a_zoomed_logarithmic_axis() -> None:
    app = Host(Chart(figure()))
    async with app.run_test(size=(60, 20)) as pilot:
        app.chart.focus()
        await pilot.press("Y", "plus", "plus", *["shift+right"] * 15)
        low, high = app.chart.view.x
        assert low <= app.chart.view.cursor <= high * (1 + 1e-9)


async def test_zooming_leaves_the_cross_hair_where_it_is() -> None:
    app = Host(Chart(noisy()))
    async with app.run_test(size=(60, 20)) as pilot:
        app.chart.focus()
        await pilot.press("l", *["shift+right"] * 3)
        low, high = resolve_axes(app.chart.figure, app.chart.view)[0].data_limits()
        share = (app.chart.view.cursor - low) / (high - low)
        await pilot.press("plus", "plus")
        low, high = app.chart.view.x
        assert (app.chart.view.cursor - low) / (high - low) == pytest.approx(share)
        assert high - low < 3


async def test_an_empty_chart_has_no_cross_hair() -> None:
    app = Host(Chart(None))
    async with app.run_test(size=(60, 20)) as pilot:
        app.chart.focus()
        await pilot.press("l", "s", "h")
        assert app.chart.view.cursor is None


async def test_what_did_not_change_is_not_sent_again() -> None:
    app = Host(Chart(noisy()))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        app.chart.focus()
        await pilot.pause()
        painted = record_painting(app)
        app.chart.show(app.chart.figure, keep_view=True)
        await pilot.pause()
        assert painted == []
        await pilot.press("plus")
        await pilot.pause()
        assert painted
