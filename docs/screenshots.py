"""Export the pictures of the README and the tour: ``python docs/screenshots.py WORKSPACE [NAME…]``.

Writes docs/images/NAME.svg, all of ``SHOTS`` or those named: what the application exports of itself, at 120x40, from
whatever runs the workspace holds. The application looks at that workspace; it changes nothing in it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from textual.pilot import Pilot

from odyssey_tui.app import OdysseyApp
from store.workspace import Workspace

IMAGES = Path(__file__).parent / "images"
SIZE = (120, 40)
ADAPTED = ("slash", *"kind=adapt and state=done", "enter")
SHOTS: dict[str, tuple[str, ...]] = {
    "runs": ("1", "down", "down"),
    "run": ("1", *ADAPTED, "j", "enter"),
    "compare": ("1", *ADAPTED, "j", "space", "space", "2"),
    "launch": ("3", *".3,.4", "enter"),
    "queue": ("4",),
    "similarity": ("5",),
    "matrix": ("5", "v"),
    "tokens": ("6",),
    "forecast": ("7",),
    "plan": ("8",),
    "data": ("9",),
}
"""Image name → the keys that lead there from a fresh start."""


async def export(workspace: Workspace, names: list[str]) -> None:
    """Press the keys of each shot and write what is on the screen."""
    IMAGES.mkdir(exist_ok=True)
    for name in names:
        app = OdysseyApp(workspace)
        async with app.run_test(size=SIZE) as pilot:
            await settle(pilot)
            for key in SHOTS[name]:
                await pilot.press(key)
                if key in ("enter", "space") or key.isdigit():
                    await settle(pilot)
            await settle(pilot)
            app.clear_notifications()
            await pilot.pause()
            (IMAGES / f"{name}.svg").write_text(app.export_screenshot(title="odyssey"))


async def settle(pilot: Pilot[None]) -> None:
    """Until nothing is being read: what a thread brings may ask for more."""
    for _ in range(5):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


if __name__ == "__main__":
    chosen = sys.argv[2:] or list(SHOTS)
    if len(sys.argv) < 2 or not set(chosen) <= SHOTS.keys():
        sys.exit(f"usage: python docs/screenshots.py WORKSPACE [NAME…]\nnames: {', '.join(SHOTS)}")
    asyncio.run(export(Workspace.open(Path(sys.argv[1])), chosen))
