"""Text that is sent to the terminal only when it changes."""

from __future__ import annotations

from textual.visual import VisualType
from textual.widgets import Static


class Calm(Static):
    """A ``Static`` that ignores an update to what it shows already."""

    _told: VisualType | None = None

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show ``content``; equal text is left alone."""
        if self._told is not None and type(content) is type(self._told) and content == self._told:
            return
        self._told = content
        super().update(content, layout=layout)
