"""Driving the application: keys, and waiting until what they caused has been read and drawn."""

from __future__ import annotations

import contextlib
from typing import Any

from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.worker import WorkerCancelled

CALM = 4
"""How often all messages are answered with nothing to read: one may ask for the next frame, and that for a read."""


async def settle(pilot: Pilot) -> None:
    """Wait until nothing is being read or written: what a thread brings may ask for more."""
    workers, calm = pilot.app.workers, 0
    while calm < CALM:
        # At last until the processor is idle: a thread whose worker was cancelled may have something to say.
        await pilot.pause(0 if calm < CALM - 1 else None)
        calm = calm + 1 if all(worker.is_finished for worker in workers) else 0
        # A screen that closes takes its reads with it.
        with contextlib.suppress(WorkerCancelled):
            await workers.wait_for_complete()


async def press(pilot: Pilot, *keys: str) -> None:
    """Press keys and wait for what comes of them."""
    await pilot.press(*keys)
    await settle(pilot)


def record_painting(app: App[Any]) -> list[object]:
    """What the application sends to the terminal from now on; a list that grows. Nothing is sent twice for nothing."""
    painted: list[object] = []
    display = app._display

    def record(screen: Screen[Any], renderable: Any) -> None:
        if renderable is not None:
            painted.append(renderable)
        display(screen, renderable)

    app._display = record  # type: ignore[method-assign]
    return painted
