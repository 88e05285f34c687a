"""The line that says why what is on screen may be old."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Static


class Banner(Static):
    """Hidden while ``text`` is empty."""

    text: reactive[str] = reactive("")

    def __init__(self) -> None:
        super().__init__(markup=False)

    def watch_text(self, text: str) -> None:
        self.update(f"! {text}" if text else "")
        self.set_class(bool(text), "-shown")
