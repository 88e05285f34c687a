"""The line in which one key's value is typed, with what it means, what it may be, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from engine.spec.located import KeyPath, dotted
from odyssey_tui.services.assignments import flow_text
from odyssey_tui.widgets.field_typed import FieldKept, FieldTyped
from odyssey_tui.widgets.last_word import LastWord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odyssey_tui.services.draft_fields import FieldRow


class FieldEditor(Vertical):
    """Hidden until a key is edited; what is typed acts at once."""

    def __init__(self, **options: str) -> None:
        super().__init__(**options)
        self.path: KeyPath | None = None
        """The key that is edited; None while none is."""
        self._as_yaml = False

    def compose(self) -> ComposeResult:
        yield Static("", id="edited", markup=False)
        yield Input(id="value", compact=True, disabled=True, suggester=LastWord())
        yield Static("", id="value-trouble", classes="trouble", markup=False)
        yield Static("", id="meaning", markup=False)

    def open(self, row: FieldRow, words: Sequence[str], *, as_yaml: bool) -> None:
        """Edit a key."""
        self.path, self._as_yaml = row.path, as_yaml
        whole = "" if row.value is None else flow_text(row.value)
        self.query_one("#edited", Static).update(f"{dotted(row.path)}{' as YAML' if as_yaml else ''}")
        told = " · ".join(part for part in (row.values, row.meaning) if part)
        self.query_one("#meaning", Static).update(told)
        line = self.query_one("#value", Input)
        if isinstance(line.suggester, LastWord):
            line.suggester.words = tuple(words)
        line.placeholder = row.default
        line.disabled = False
        with self.prevent(Input.Changed):
            line.value = whole if as_yaml else row.text
        self.add_class("-shown")
        self.tell("")
        line.focus()
        line.select_all()

    def close(self) -> None:
        """Hide the line."""
        self.path = None
        self.remove_class("-shown")
        self.query_one("#value", Input).disabled = True

    def tell(self, trouble: str) -> None:
        """Say what is wrong with what is typed."""
        told = self.query_one("#value-trouble", Static)
        told.update(trouble)
        told.display = bool(trouble)

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Pass on what is typed."""
        event.stop()
        if self.path is not None:
            self.post_message(FieldTyped(self.path, event.value, self._as_yaml))

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        if self.path is not None:
            self.post_message(FieldKept(self.path))
