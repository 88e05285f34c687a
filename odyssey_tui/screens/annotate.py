"""Tags, notes and pins from a screen: asks for the words, then writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from odyssey_tui.screens.prompt import PromptScreen
from odyssey_tui.screens.requests import list_names
from odyssey_tui.services.notes import change_tags, common_tags, turn_pins, write_note

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen
    from odyssey_tui.services.runs import RunRow


def ask_tags(screen: OdysseyScreen, rows: Sequence[RunRow]) -> None:
    """Edit the tags that the runs have in common."""
    workspace = screen.odyssey.workspace

    def told(changes: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        given, taken = changes
        words = [f"tagged {' '.join(given)}"] * bool(given) + [f"no longer {' '.join(taken)}"] * bool(taken)
        if words:
            screen.notify(", ".join(words), timeout=3, markup=False)
        screen.reload()

    def answer(text: str | None) -> None:
        if text is not None:
            screen.perform(lambda: change_tags(workspace, rows, text), told)

    hint = "words, for example: paper keep"
    screen.app.push_screen(
        PromptScreen("Tags", list_names([row.name for row in rows]), value=" ".join(common_tags(rows)), hint=hint),
        answer,
    )


def ask_note(screen: OdysseyScreen, rows: Sequence[RunRow]) -> None:
    """Write a note on the runs; their pages show it."""
    workspace = screen.odyssey.workspace

    def told(_: None) -> None:
        screen.notify("noted; the run's page shows it", timeout=3)
        screen.reload()

    def answer(text: str | None) -> None:
        if text:
            screen.perform(lambda: write_note(workspace, [row.run_id for row in rows], text), told)

    screen.app.push_screen(
        PromptScreen("Note", list_names([row.name for row in rows]), hint="what somebody should know later"), answer
    )


def pin_runs(screen: OdysseyScreen, rows: Sequence[RunRow]) -> None:
    """Pin runs to the top of the list, or let go of them."""
    workspace = screen.odyssey.workspace

    def told(pinned: bool) -> None:
        screen.notify("pinned" if pinned else "not pinned any more", timeout=2)
        screen.reload()

    screen.perform(lambda: turn_pins(workspace, rows), told)
