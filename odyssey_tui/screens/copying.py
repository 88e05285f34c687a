"""``c`` and ``C``: what is under the cursor, or the table, on the clipboard of the terminal one sits at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen

MOST_SHOWN = 40
"""Characters of what was copied that the notice repeats."""


class Copied(NamedTuple):
    """Text for the clipboard, and what it is, in a word or two."""

    text: str
    what: str


@runtime_checkable
class Tabular(Protocol):
    """A widget whose rows can be copied."""

    has_focus: bool
    display: bool

    def text_rows(self) -> Iterator[Sequence[str]]:
        """The titles, then every row as it is shown, cut nowhere."""
        ...

    def text_row(self) -> Sequence[str]:
        """The row or cell under the cursor; empty where there is none."""
        ...


def find_table(screen: OdysseyScreen) -> Tabular | None:
    """The table that has the focus, else the first one on the screen."""
    tables = [widget for widget in screen.query("*") if isinstance(widget, Tabular) and widget.display]
    return next((table for table in tables if table.has_focus), tables[0] if tables else None)


def copy(screen: OdysseyScreen, copied: Copied | None) -> None:
    """Put it on the clipboard and say so."""
    if copied is None or not copied.text:
        screen.notify("There is nothing to copy here.", timeout=3)
        return
    text, what = copied
    screen.odyssey.copy_to_clipboard(text)
    first, *more = text.split("\n")
    shown = first if len(first) <= MOST_SHOWN and not more else ""
    screen.notify(f"copied {what}{f': {shown}' if shown else ''}", timeout=4, markup=False)


def copied_runs(run_ids: Sequence[str]) -> Copied | None:
    """Ids of runs, a line each."""
    if not run_ids:
        return None
    return Copied("\n".join(run_ids), "the run's id" if len(run_ids) == 1 else f"the ids of {len(run_ids)} runs")


def copied_readings(screen: OdysseyScreen) -> Copied | None:
    """What the cross-hair of the chart that has the focus reads: of each series its label, x and y."""
    from odyssey_tui.services.clipboard import tsv
    from odyssey_tui.widgets.chart import Chart

    chart = screen.focused
    readings = chart.readings if isinstance(chart, Chart) else ()
    if not readings:
        return None
    return Copied(tsv([(one.label, f"{one.x:.10g}", f"{one.y:.10g}") for one in readings]), "the read-out")


def row_under_cursor(screen: OdysseyScreen) -> Copied | None:
    """What ``c`` copies where a screen has nothing better: the row, or the cell, with tabs between."""
    from odyssey_tui.services.clipboard import tsv

    table = find_table(screen)
    cells = table.text_row() if table is not None else ()
    return Copied(tsv([cells]), "the row") if any(cells) else None


def whole_table(screen: OdysseyScreen) -> Copied | None:
    """Every row, with tabs between, headed by the titles."""
    from odyssey_tui.services.clipboard import tsv

    table = find_table(screen)
    rows = list(table.text_rows()) if table is not None else []
    return Copied(tsv(rows), f"a table of {len(rows) - 1} rows") if len(rows) > 1 else None
