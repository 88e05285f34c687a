"""The format audit of one text: classes side by side, what is warned of, token types that differ, samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import OdysseyScreen
from odyssey_tui.widgets.audit_text import (
    classes_text,
    facts_text,
    findings_text,
    heading_text,
    samples_text,
    types_text,
)

if TYPE_CHECKING:
    from odyssey_tui.services.audit import Audit

PANES = {
    "classes": "token classes, each row on its own scale",
    "findings": "warnings",
    "facts": "the two texts",
    "types": "token types that differ most",
    "samples": "how they begin",
}
FRAME = 6
"""Columns of a pane's border, padding and scrollbar."""


class AuditScreen(OdysseyScreen):
    """The audits of a corpus or evaluation set, one pair of texts at a time."""

    SCOPE = "audit"
    CSS_PATH = "audit.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "audit")]

    def __init__(self, name: str, newlines: str | None = None) -> None:
        super().__init__()
        self._name, self._newlines = name, newlines
        """``newlines``: the form of the training text whose audit is shown first."""
        self._audits: tuple[Audit, ...] = ()
        self._shown_key = ""

    def compose_body(self) -> ComposeResult:
        yield Static("reading …", id="about", markup=False)
        with VerticalScroll(id="page"):
            with Vertical(classes="column"):
                yield from (self._pane(name) for name in ("classes", "findings"))
            with Vertical(classes="column"):
                yield from (self._pane(name) for name in ("facts", "types", "samples"))

    def _pane(self, name: str) -> Vertical:
        pane = Vertical(Static("", id=name, markup=False), classes="pane")
        pane.border_title = PANES[name]
        return pane

    def on_mount(self) -> None:
        self.query_one("#page").focus()

    def on_resize(self) -> None:
        self._redraw()

    def load(self, request: object) -> tuple[Audit, ...]:
        from odyssey_tui.services.data import read_audits

        return tuple(read_audits(self.odyssey.workspace, self._name))

    def show(self, snapshot: tuple[Audit, ...]) -> None:
        self._audits = snapshot
        if self._shown_key not in {audit.key for audit in snapshot}:
            of_form = [audit for audit in snapshot if audit.record.get("newlines") == self._newlines]
            self._shown_key = (of_form or snapshot)[0].key
        self._redraw()

    def _redraw(self) -> None:
        audit = self._current()
        if audit is None:
            return
        place = self._audits.index(audit)
        self.query_one("#about", Static).update(heading_text(audit, place, len(self._audits)))
        width = (self.size.width // 2 if self.has_class("-wide") else self.size.width) - FRAME
        drawn = {
            "classes": classes_text(audit, width),
            "findings": findings_text(audit),
            "facts": facts_text(audit, width),
            "types": types_text(audit, width),
            "samples": samples_text(audit),
        }
        for name, text in drawn.items():
            self.query_one(f"#{name}", Static).update(text)
        self.refresh_bindings()

    def _current(self) -> Audit | None:
        return next((audit for audit in self._audits if audit.key == self._shown_key), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("next", "previous"):
            return len(self._audits) > 1
        return True

    def action_back(self) -> None:
        """Escape: to where this was opened from."""
        self.app.pop_screen()

    def action_next(self) -> None:
        """The next pair, round and round."""
        self._go(1)

    def action_previous(self) -> None:
        """The pair before."""
        self._go(-1)

    def _go(self, by: int) -> None:
        audit = self._current()
        if audit is not None:
            self._shown_key = self._audits[(self._audits.index(audit) + by) % len(self._audits)].key
            self.query_one("#page", VerticalScroll).scroll_home(animate=False)
            self._redraw()

    def action_down(self) -> None:
        """j."""
        self.query_one("#page", VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """k."""
        self.query_one("#page", VerticalScroll).scroll_up(animate=False)

    def action_export(self) -> None:
        """The classes as a table, or everything."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.audit_tables import exportable

        if (audit := self._current()) is not None:
            ask_export(self, exportable(audit))
