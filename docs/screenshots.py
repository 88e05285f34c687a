"""Export the README's screenshots from a workspace: ``python docs/screenshots.py WORKSPACE`` writes docs/images/*.svg.

The pictures are what the application exports of itself, at 120x40, from whatever runs the workspace holds.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from odyssey_tui.app import OdysseyApp
from store.workspace import Workspace

IMAGES = Path(__file__).parent / "images"
SIZE = (120, 40)
SHOTS = {"runs": ["down", "down"], "similarity": ["5"], "tokens": ["6"], "forecast": ["7"]}
"""Image name → the keys that lead there, in one session."""
SETTLE_S = 3.0


async def export(workspace: Workspace) -> None:
    """Press the keys of each shot and write what is on the screen."""
    IMAGES.mkdir(exist_ok=True)
    app = OdysseyApp(workspace)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(SETTLE_S)
        for name, keys in SHOTS.items():
            await pilot.press(*keys)
            await pilot.pause(SETTLE_S)
            (IMAGES / f"{name}.svg").write_text(app.export_screenshot(title="odyssey"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/screenshots.py WORKSPACE")
    asyncio.run(export(Workspace.open(Path(sys.argv[1]))))
