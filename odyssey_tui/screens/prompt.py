"""A dialog with one line to write."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class PromptScreen(ModalScreen[str | None]):
    """Returns what was written, None when it was left with Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Back")]

    def __init__(self, title: str, text: str, *, value: str = "", hint: str = "") -> None:
        super().__init__()
        self._title, self._text, self._value, self._hint = title, text, value, hint

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(self._text, markup=False)
            yield Input(self._value, placeholder=self._hint, compact=True)
            yield Static("Enter keeps it · Esc leaves it", classes="hint")

    @on(Input.Submitted)
    def answer(self, event: Input.Submitted) -> None:
        """Enter."""
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)
