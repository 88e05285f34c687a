"""One axis of a sweep: its name, a line to type into, and below it what is wrong with that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label, Static

from odyssey_tui.services.assignments import same
from odyssey_tui.services.draft_values import read_typed
from odyssey_tui.widgets.field_typed import FieldKept, FieldTyped
from odyssey_tui.widgets.last_word import LastWord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odyssey_tui.services.axes import Axis


class AxisField(Vertical):
    """The line is the input ``#NAME``; it is rewritten only when the experiment says something else than it does."""

    def __init__(self, name: str) -> None:
        super().__init__(id=f"field-{name}", classes="field")
        self._axis_name = name
        self._axis: Axis | None = None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label("")
            yield Input(id=self._axis_name, compact=True, suggester=LastWord())
        yield Static("", classes="trouble", markup=False)

    def show(self, axis: Axis, words: Sequence[str], trouble: str) -> None:
        """The axis as the experiment has it; ``words`` complete what is typed."""
        line = self.query_one(Input)
        self.display = axis.offered
        self.query_one(Label).update(axis.label)
        line.placeholder = axis.default
        if isinstance(line.suggester, LastWord):
            line.suggester.words = tuple(words)
        moved = self._axis is not None and self._axis.path != axis.path
        self._axis = axis
        if moved or not same(read_typed(line.value, axis.key), read_typed(axis.text, axis.key)):
            with self.prevent(Input.Changed):
                line.value = axis.text
        told = self.query_one(".trouble", Static)
        told.update(trouble)
        told.display = bool(trouble)
        self.set_class(bool(trouble), "-refused")

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Pass on what is typed."""
        event.stop()
        if self._axis is not None:
            self.post_message(FieldTyped(self._axis.path, event.value))

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        if self._axis is not None:
            self.post_message(FieldKept(self._axis.path))
