"""The dialog that asks what a sweep starts from; typing narrows the list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from odyssey_tui.screens.base import one_line
from odyssey_tui.services.starts import Start, list_experiment_starts, list_run_starts

if TYPE_CHECKING:
    from store.workspace import Workspace

SHOWN = 200


class StartScreen(ModalScreen[Start | None]):
    """Returns what was chosen, None when it was left with Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Back"),
        ("down", "move('down')", "Down"),
        ("up", "move('up')", "Up"),
    ]

    @dataclass
    class Listed(Message):
        """What there is to start from was read."""

        starts: tuple[Start, ...]
        error: Exception | None = None

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._starts: tuple[Start, ...] = ()
        self._shown: list[Start] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="start") as dialog:
            dialog.border_title = "Start from"
            yield Input(placeholder="type to narrow the list, or the path of a file", compact=True)
            yield OptionList(markup=False)
            yield Static("↑ ↓ choose · Enter starts · Esc leaves", classes="hint")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.read()

    @work(thread=True, exit_on_error=False)
    def read(self) -> None:
        """Experiments, then runs, off the event loop: where runs cannot be read, experiments are there all the same."""
        found: tuple[Start, ...] = ()
        for read in (list_experiment_starts, list_run_starts):
            try:
                found += read(self._workspace)
            except Exception as error:
                self.post_message(self.Listed(found, error))
            else:
                self.post_message(self.Listed(found))

    @on(Listed)
    def take(self, message: Listed) -> None:
        """Show what there is."""
        self._starts = message.starts
        if message.error is not None:
            self.notify(one_line(message.error), severity="error", markup=False)
        self._draw(self.query_one(OptionList).highlighted or 0)

    @on(Input.Changed)
    def narrow(self) -> None:
        """Typing."""
        self._draw(0)

    def _draw(self, highlighted: int) -> None:
        """The starts that hold every word, or the file that is named."""
        text = self.query_one(Input).value.strip()
        words = text.lower().split()
        self._shown = [start for start in self._starts if all(word in start.line.lower() for word in words)][:SHOWN]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([start.line for start in self._shown])
        if text and Path(text).expanduser().is_file():
            options.add_option(f"the file {text}")
        options.highlighted = min(highlighted, options.option_count - 1) if options.option_count else None

    def action_move(self, direction: str) -> None:
        """Up and down while the line is typed into."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if direction == "down" else options.action_cursor_up()

    @on(Input.Submitted)
    def take_highlighted(self) -> None:
        """Enter in the line."""
        self.query_one(OptionList).action_select()

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """What is under the cursor."""
        if event.option_index < len(self._shown):
            self.dismiss(self._shown[event.option_index])
        else:
            self.dismiss(Start("file", self.query_one(Input).value.strip()))

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)
