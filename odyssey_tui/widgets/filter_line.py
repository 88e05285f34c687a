"""The line in which a table is filtered while typing; hidden until asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.services.filter import FilterError
from odyssey_tui.services.filter_completion import NOTHING, Completion, apply, complete


class FilterLine(Vertical):
    """Completes keys and values while one types. What cannot be read is told below the line and changes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("filter")]

    @dataclass
    class Changed(Message):
        """The filter is another one; it can be read."""

        text: str

    @dataclass
    class Submitted(Message):
        """Enter: the filter stays in sight, the rows take the focus."""

    def __init__(
        self,
        example: str,
        parse: Callable[[str], object],
        fields: Callable[[], Mapping[str, type]] = dict,
        values: Callable[[str], Iterable[object]] = lambda key: (),
    ) -> None:
        """``fields`` are the keys there are, ``values`` those that the rows have of a key: for completion."""
        super().__init__()
        self._example, self._parse = example, parse
        self._fields, self._values = fields, values
        self._completion = NOTHING
        self._chosen = 0

    def compose(self) -> ComposeResult:
        yield Input(id="filter", placeholder=self._example, compact=True, disabled=True)
        yield Static("", id="filter-choices", markup=False)
        yield Static("", id="filter-trouble", classes="trouble", markup=False)

    @property
    def opened(self) -> bool:
        """Whether the line is in sight."""
        return self.query_one("#filter").has_class("-shown")

    @property
    def completion(self) -> Completion:
        """What may stand at the cursor."""
        return self._completion

    def open(self) -> None:
        """Show the line and type into it."""
        line = self.query_one("#filter", Input)
        line.add_class("-shown")
        line.disabled = False
        line.focus()
        self._find_choices()

    def close(self) -> None:
        """Take the filter back and hide the line."""
        line = self.query_one("#filter", Input)
        line.value = ""
        line.remove_class("-shown")
        line.disabled = True
        self._show_choices(NOTHING)

    def judge_again(self) -> None:
        """Other keys may be named now."""
        if self.opened:
            self._judge(self.query_one("#filter", Input).value)

    @on(Input.Changed)
    def judge(self, event: Input.Changed) -> None:
        """Pass on what can be read; say where what cannot goes wrong."""
        event.stop()
        self._judge(event.value)

    def _judge(self, text: str) -> None:
        self._find_choices()
        trouble = self.query_one("#filter-trouble", Static)
        try:
            self._parse(text)
        except FilterError as error:
            # What is still being typed is not wrong yet: one error, below the choices, the rows as they were.
            trouble.update(f"{error.message} · {error.hint}" if error.hint else error.message)
            trouble.display = True
            return
        trouble.display = False
        self.post_message(self.Changed(text))

    def on_descendant_blur(self) -> None:
        """What may come next is of interest to who types."""
        self._show_choices(NOTHING)

    def on_descendant_focus(self) -> None:
        """Typing goes on."""
        self._find_choices()

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self._show_choices(NOTHING)
        self.post_message(self.Submitted())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._completion.candidates) if action in ("complete", "next", "previous") else True

    def action_complete(self) -> None:
        """Tab: take the choice that stands out."""
        line = self.query_one("#filter", Input)
        candidate = self._completion.candidates[self._chosen]
        line.value, line.cursor_position = apply(line.value, line.cursor_position, self._completion, candidate)

    def action_next(self) -> None:
        """The next choice stands out."""
        self._choose(1)

    def action_previous(self) -> None:
        """The one before."""
        self._choose(-1)

    def _choose(self, step: int) -> None:
        self._chosen = (self._chosen + step) % len(self._completion.candidates)
        self._draw_choices()

    def _find_choices(self) -> None:
        line = self.query_one("#filter", Input)
        if self.opened:
            self._show_choices(complete(line.value, line.cursor_position, self._fields(), self._values))

    def _show_choices(self, completion: Completion) -> None:
        if completion.candidates != self._completion.candidates:
            self._chosen = 0
        self._completion = completion
        self._draw_choices()

    def _draw_choices(self) -> None:
        shown = self.query_one("#filter-choices", Static)
        shown.display = bool(self._completion.candidates)
        shown.update(choices_text(self._completion.candidates, self._chosen, self.size.width - 2))
        self.screen.refresh_bindings()


def choices_text(candidates: tuple[str, ...], chosen: int, width: int) -> Text:
    """The choices on one line, from the one that stands out on where not all fit; ``Tab`` takes it."""
    text = Text("Tab ", "dim", no_wrap=True, overflow="ellipsis")
    first = 0
    while first < chosen and sum(len(one) + 2 for one in candidates[first : chosen + 1]) > width - 8:
        first += 1
    for index, candidate in enumerate(candidates[first:], first):
        text.append(candidate.strip(), "reverse" if index == chosen else "").append("  ")
    text.truncate(max(1, width), overflow="ellipsis")
    return text
