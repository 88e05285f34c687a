"""``E``: what a screen shows as a file. Asks for a name, whose ending says what is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from odyssey_tui.screens.prompt import PromptScreen

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen
    from odyssey_tui.services.figure_export import Exportable


def ask_card(screen: OdysseyScreen, run_id: str) -> None:
    """Ask for the file of a run's or a fit's reproduction card, and write it."""
    from odyssey_tui.services.card import write_card
    from odyssey_tui.services.figure_export import Exportable

    workspace = screen.odyssey.workspace
    ask_export(screen, Exportable(f"{run_id}-card", document=lambda: write_card(workspace, run_id)))


def ask_export(screen: OdysseyScreen, exportable: Exportable) -> None:
    """Ask for the file and write it; a screen with nothing to write says so."""
    from odyssey_tui.services.figure_export import export, free_name

    suffixes = exportable.suffixes
    if not suffixes:
        screen.notify("There is nothing to export yet.", timeout=3)
        return
    folder = Path.cwd()

    def told(target: Path) -> None:
        screen.notify(f"wrote {target}", timeout=5, markup=False)

    def answer(text: str | None) -> None:
        if text and text.strip():
            screen.perform(lambda: export(exportable, folder / Path(text.strip()).expanduser()), told)

    *others, last = (suffix.removeprefix(".") for suffix in suffixes)
    kinds = f"{', '.join(others)} or {last}" if others else last
    screen.app.push_screen(
        PromptScreen(
            "Export",
            f"A file in {folder}, or a path. Its ending says what is written: {kinds}.",
            value=free_name(folder, exportable.stem, suffixes[0]),
        ),
        answer,
    )
