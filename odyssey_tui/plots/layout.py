"""Where the parts of a chart go on the page, and what gives way when there is little room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odyssey_tui.plots.axes import Axis, fit_axis
from odyssey_tui.plots.figure import DOT, Figure
from odyssey_tui.plots.marks import Plot, draw_cursor, draw_marks, end_values, left_out, points_reduced
from odyssey_tui.plots.page import Ink, Page, cut, single_width
from odyssey_tui.plots.palette import Rgb, color_of
from odyssey_tui.plots.readout import Reading, precise, read_out
from odyssey_tui.plots.series import View
from odyssey_tui.plots.smoothing import smoothed
from odyssey_tui.plots.ticks import Tick, linear_ticks, log_ticks

_LINE_SAMPLES = {"solid": "━━", "dashed": "╍╍", "dotted": "┈┈"}


@dataclass(frozen=True)
class Entry:
    """One legend entry: a sample of the mark and its words."""

    sample: str
    label: str
    color: Rgb

    @property
    def width(self) -> int:
        return len(self.sample) + 1 + len(self.label)


def resolve_axes(figure: Figure, view: View) -> tuple[Axis, Axis]:
    """The axes of ``figure`` under ``view``."""
    log_x = figure.log_x if view.log_x is None else view.log_x
    log_y = figure.log_y if view.log_y is None else view.log_y
    x_values, y_values = end_values(figure, log_x, log_y)
    return fit_axis(x_values, log=log_x, limits=view.x), fit_axis(y_values, log=log_y, limits=view.y)


def draw(figure: Figure, width: int, height: int, *, dark: bool, view: View) -> Page:
    """Lay the chart out on a page of ``width`` x ``height`` cells."""
    page = Page(width, height)
    muted, text = Ink(color_of("muted", dark=dark)), Ink(color_of("text", dark=dark))
    figure = smoothed(figure, view.smoothing)
    x, y = resolve_axes(figure, view)
    dropped = left_out(figure, x.log, y.log)
    titled = height >= 7 and bool(figure.title or figure.note or dropped or figure.lines)
    top = int(titled)
    readings = read_out(figure, view.cursor, log_x=x.log) if view.cursor is not None else ()
    legend = _legend_rows(figure, width, height, readings, dark=dark)
    labelled = bool(figure.y_label) and height >= 9
    top = _draw_head(page, top, legend, single_width(figure.y_label) if labelled else "", muted, text)
    framed = height - top >= 4 and width >= 8
    footed = framed and bool(figure.x_label) and height >= 11
    bottom = 2 * framed + footed
    rows = max(1, height - top - bottom)
    y_ticks = axis_ticks(y, max(1, rows // 3)) if framed else []
    gutter = max((len(tick.label) for tick in y_ticks), default=0)
    if gutter + 9 > width or gutter > width // 2:
        y_ticks, gutter = [], 0
    left = gutter + framed
    columns = max(1, width - left - framed)
    plot = Plot(page, left, top, columns, rows, x, y, dark)
    if framed:
        _draw_frame(page, plot, y_ticks, muted)
        _draw_x_ticks(page, plot, muted)
    if footed:
        label = cut(single_width(figure.x_label), columns)
        page.put(left + max(0, (columns - len(label)) // 2), height - 1, label, muted)
    draw_marks(plot, figure)
    if view.cursor is not None:
        draw_cursor(plot, view.cursor, readings)
    if titled:
        at = f"{figure.x_label or 'x'} = {precise(view.cursor)}" if view.cursor is not None else ""
        notes = [at, figure.note, counted(points_reduced(figure, columns), "points"), counted(dropped, "not drawable")]
        _draw_title(page, single_width(figure.title), " · ".join(note for note in notes if note), text, muted)
    return page


def counted(count: int, what: str) -> str:
    """``3 points``; empty for none."""
    return f"{count:,} {what}" if count else ""


def _draw_title(page: Page, title: str, notes: str, text: Ink, muted: Ink) -> None:
    """The title, then what must be known of the data; the notes are kept whole as long as 12 cells of title remain."""
    note = single_width(notes)
    separator = " · " if title and note else ""
    room = page.width - len(separator) - len(note)
    shown = cut(title, max(room, min(12, page.width)))
    page.put(0, 0, shown, Ink(text.color, bold=True))
    page.put(len(shown), 0, separator + cut(note, page.width - len(shown) - len(separator)), muted)


def _draw_head(page: Page, top: int, legend: list[list[Entry]], y_label: str, muted: Ink, text: Ink) -> int:
    """Legend rows; the y title shares the last one when there is room. Returns the first row below."""
    if not legend and not y_label:
        return top
    rows = list(legend) or [[]]
    if y_label and rows[-1] and _row_width(rows[-1]) + len(y_label) + 3 > page.width:
        rows.append([])
    for offset, row in enumerate(rows):
        last = offset == len(rows) - 1
        column = len(y_label) + 3 if last and y_label else 0
        column = max(column, page.width - _row_width(row) - 1) if last and y_label else column
        for entry in row:
            page.put(column, top + offset, entry.sample, Ink(entry.color))
            page.put(column + len(entry.sample) + bool(entry.sample), top + offset, entry.label, text)
            column += entry.width + 2
    if y_label:
        page.put(0, top + len(rows) - 1, cut(y_label, page.width), muted)
    return top + len(rows)


def _row_width(row: list[Entry]) -> int:
    return sum(entry.width + 2 for entry in row) - 2 if row else 0


def _legend_rows(
    figure: Figure, width: int, height: int, readings: Sequence[Reading], *, dark: bool
) -> list[list[Entry]]:
    """The legend; with a cross-hair also what each series reads there, in more rows."""
    if height < 8:
        return []
    entries = _legend_entries(figure, readings, dark=dark)
    allowed = max(1, height // 3 if readings else height // 7)
    rows: list[list[Entry]] = []
    for index, entry in enumerate(entries):
        short = Entry(entry.sample, cut(entry.label, max(4, width - 4)), entry.color)
        if rows and _row_width(rows[-1]) + 2 + short.width <= width:
            rows[-1].append(short)
            continue
        if len(rows) == allowed:
            _say_more(rows[-1], len(entries) - index, width, color_of("muted", dark=dark))
            break
        rows.append([short])
    return rows


def _say_more(row: list[Entry], missing: int, width: int, muted: Rgb) -> None:
    while True:
        more = Entry("", f"+{missing} more", muted)
        if len(row) <= 1 or _row_width([*row, more]) <= width:
            row.append(more)
            return
        row.pop()
        missing += 1


def _legend_entries(figure: Figure, readings: Sequence[Reading], *, dark: bool) -> list[Entry]:
    marks = [
        *((series, _LINE_SAMPLES[series.style]) for series in figure.lines if not series.faint),
        *((series, series.marker if series.marker != DOT else "⠂") for series in figure.scatters),
        *((series, "░░") for series in figure.bands),
    ]
    entries: dict[tuple[str, object], Entry] = {}
    for series, sample in marks:
        if not series.label:
            continue
        known = entries.get((series.label, series.color))
        joined = known.sample + sample if known is not None and sample not in known.sample else None
        if known is None or joined is not None:
            entries[(series.label, series.color)] = Entry(
                joined or sample, single_width(series.label), color_of(series.color, dark=dark)
            )
    for reading in readings:
        key = (reading.label, reading.color)
        label = " ".join(part for part in (single_width(reading.label), single_width(reading.text)) if part)
        sample = entries[key].sample if key in entries else _LINE_SAMPLES["solid"]
        entries[key] = Entry(sample, label, color_of(reading.color, dark=dark))
    return list(entries.values())


def axis_ticks(axis: Axis, count: int) -> list[Tick]:
    """About ``count`` round ticks of an axis."""
    return (log_ticks if axis.log else linear_ticks)(axis.low, axis.high, count)


def _draw_frame(page: Page, plot: Plot, y_ticks: list[Tick], muted: Ink) -> None:
    axis_column, axis_row = plot.left - 1, plot.top + plot.rows
    for row in range(plot.top, axis_row):
        page.put(axis_column, row, "│", muted)
    page.put(axis_column, axis_row, "└" + "─" * plot.columns, muted)
    used: set[int] = set()
    for tick in y_ticks:
        row = plot.row_of(tick.at)
        if row is None or row in used:
            continue
        used.add(row)
        page.put(axis_column - len(tick.label), row, tick.label, muted)
        page.put(axis_column, row, "┤", muted)


def _draw_x_ticks(page: Page, plot: Plot, muted: Ink) -> None:
    axis_row = plot.top + plot.rows
    count = max(1, plot.columns // 11)
    free_from = 0
    for tick in axis_ticks(plot.x, count):
        column = plot.column_of(tick.at)
        if column is None:
            continue
        start = max(0, min(column - len(tick.label) // 2, page.width - len(tick.label)))
        if start < free_from:
            continue
        page.put(column, axis_row, "┬", muted)
        page.put(start, axis_row + 1, tick.label, muted)
        free_from = start + len(tick.label) + 1
