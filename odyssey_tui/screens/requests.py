"""Cancelling and retrying runs from a screen: asks, then leaves a request for the scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from odyssey_tui.screens.confirm import ConfirmScreen, TypedConfirmScreen
from odyssey_tui.services.queue import ENDED_EARLY

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen

LIVE = frozenset({"starting", "running", "stopping"})
RETRIABLE = ENDED_EARLY
FINISHED = RETRIABLE | {"done"}


def ask_cancel(screen: OdysseyScreen, runs: Sequence[tuple[str, str, str]]) -> None:
    """Cancel runs given as (run_id, name, state) after asking; a live one asks for the word ``cancel``."""
    names = "\n".join(f"  {name}" for _, name, _ in runs[:6])
    more = f"\n  and {len(runs) - 6} more" if len(runs) > 6 else ""
    live = sum(state in LIVE for _, _, state in runs)
    noun = "run" if len(runs) == 1 else "runs"

    def answer(confirmed: bool | None) -> None:
        if confirmed:
            _send(screen, [run_id for run_id, _, _ in runs])

    if live:
        text = f"{len(runs)} {noun}, {live} of them running now:\n{names}{more}"
        screen.app.push_screen(TypedConfirmScreen("Cancel", text, "cancel"), answer)
    else:
        screen.app.push_screen(ConfirmScreen("Cancel", f"{len(runs)} waiting {noun}:\n{names}{more}"), answer)


def _send(screen: OdysseyScreen, run_ids: Sequence[str]) -> None:
    from odyssey_tui.services.queue import cancel_runs

    workspace = screen.odyssey.workspace
    screen.perform(lambda: cancel_runs(workspace, run_ids), lambda _: screen.notify("cancelling"))


def retry_runs(screen: OdysseyScreen, run_ids: Sequence[str]) -> None:
    """Queue runs again."""
    from odyssey_tui.services.queue import retry_runs as retry

    workspace = screen.odyssey.workspace
    screen.perform(lambda: retry(workspace, run_ids), lambda _: screen.notify(f"{len(run_ids)} queued again"))
