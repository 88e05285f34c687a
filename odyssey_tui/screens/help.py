"""``?``: the keys that act here, generated from the keymap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from odyssey_tui.keymap import SCOPE_TITLES, shown_keys
from odyssey_tui.screens.base import OdysseyScreen, offered_actions


class HelpScreen(ModalScreen[None]):
    """Lists what acts on the screen below; any of Escape, ``?`` and ``q`` closes it."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q", "dismiss", "Close")]

    def __init__(self, screen: OdysseyScreen, rebound: Mapping[str, str]) -> None:
        super().__init__()
        own = (screen.SCOPE, "chart", "table")
        rows = [(action.scope, shown_keys(action, rebound), action) for _, action in offered_actions(screen)]
        # What is special here comes first; the keys that act everywhere are known soon.
        self._rows = sorted(rows, key=lambda row: own.index(row[0]) if row[0] in own else len(own))

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", id="keys"):
            yield Static(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        shown = ""
        for scope, keys, action in self._rows:
            if scope != shown:
                if shown:
                    table.add_row("", "", "")
                table.add_row("", f"[bold]{SCOPE_TITLES[scope]}[/bold]", "")
                shown = scope
            table.add_row(f"[bold]{keys.replace('[', chr(92) + '[')}[/bold]", action.label, f"[dim]{action.help}[/dim]")
        return table
