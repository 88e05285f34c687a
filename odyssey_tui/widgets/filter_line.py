"""The line in which a table is filtered while typing; hidden until asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from odyssey_tui.services.filter import FilterError


class FilterLine(Vertical):
    """A filter that cannot be read is told below the line and changes nothing."""

    @dataclass
    class Changed(Message):
        """The filter is another one; it can be read."""

        text: str

    @dataclass
    class Submitted(Message):
        """Enter: the filter stays in sight, the rows take the focus."""

    def __init__(self, example: str, parse: Callable[[str], object]) -> None:
        super().__init__()
        self._example, self._parse = example, parse

    def compose(self) -> ComposeResult:
        yield Input(id="filter", placeholder=self._example, compact=True, disabled=True)
        yield Static("", id="filter-trouble", classes="trouble", markup=False)

    @property
    def opened(self) -> bool:
        """Whether the line is in sight."""
        return self.query_one("#filter").has_class("-shown")

    def open(self) -> None:
        """Show the line and type into it."""
        line = self.query_one("#filter", Input)
        line.add_class("-shown")
        line.disabled = False
        line.focus()

    def close(self) -> None:
        """Take the filter back and hide the line."""
        line = self.query_one("#filter", Input)
        line.value = ""
        line.remove_class("-shown")
        line.disabled = True

    @on(Input.Changed)
    def judge(self, event: Input.Changed) -> None:
        """Pass on what can be read; say where what cannot goes wrong."""
        event.stop()
        trouble = self.query_one("#filter-trouble", Static)
        try:
            self._parse(event.value)
        except FilterError as error:
            trouble.update(f"{error.message} · {error.hint}" if error.hint else error.message)
            trouble.display = True
            return
        trouble.display = False
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self.post_message(self.Submitted())
