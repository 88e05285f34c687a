"""Dialogs that ask before something happens: one key that is not the one that asked, or a word to type."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class ConfirmScreen(ModalScreen[bool]):
    """``y`` confirms; Escape, ``n`` and ``q`` do not."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "answer(True)", "Yes"), ("escape,n,q", "answer(False)", "No")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(self._text, markup=False)
            yield Static("y yes · Esc no", classes="hint")

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


class TypedConfirmScreen(ModalScreen[bool]):
    """Confirms only when ``word`` is typed, for what cannot be taken back."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "decline", "No")]

    def __init__(self, title: str, text: str, word: str) -> None:
        super().__init__()
        self._title, self._text, self._word = title, text, word

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(self._text, markup=False)
            yield Input(placeholder=f"type {self._word} and Enter; Esc leaves it", compact=True)

    @on(Input.Submitted)
    def judge(self, event: Input.Submitted) -> None:
        """Only the exact word counts."""
        if event.value.strip() == self._word:
            self.dismiss(True)

    def action_decline(self) -> None:
        """Escape."""
        self.dismiss(False)
