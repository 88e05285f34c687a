"""A screen with a table that a line of filter narrows while it is typed."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.widget import Widget

from odyssey_tui.screens.base import OdysseyScreen
from odyssey_tui.widgets.filter_line import FilterLine


class FilteredScreen(OdysseyScreen):
    """``compose_body`` yields a ``FilterLine`` and one ``TABLE``; ``_filter`` is what the rows have to pass."""

    TABLE: ClassVar[type[Widget]]

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""

    @property
    def filtering(self) -> bool:
        """Whether there is a filter to leave."""
        return bool(self._filter) or self.query_one(FilterLine).opened

    def action_filter(self) -> None:
        """Open the filter line."""
        self.query_one(FilterLine).open()
        self.refresh_bindings()

    @on(FilterLine.Changed)
    def filter_changed(self, event: FilterLine.Changed) -> None:
        """Filter while typing."""
        self._filter = event.text
        self.reload()

    @on(FilterLine.Submitted)
    def filter_submitted(self) -> None:
        """Enter goes to the rows and keeps the filter in sight."""
        self.query_one(self.TABLE).focus()

    def action_leave(self) -> None:
        """Escape: the filter goes."""
        self.query_one(FilterLine).close()
        self.query_one(self.TABLE).focus()
        self.refresh_bindings()
