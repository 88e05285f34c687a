"""The Tokens screen without a terminal, timed from the key on: ``python -m bench.tokening.screen SETTING``."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from textual.widgets import Static

from bench.harness import leave_result
from bench.storing.setting import Setting
from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.tokens import TokensScreen
from odyssey_tui.widgets.long_table import LongTable
from store.workspace import Workspace

SIZE = (120, 40)
LOOK_S = 0.002
PATIENCE_S = 120.0


def main() -> None:
    setting = Setting.read(sys.argv[1])
    leave_result(asyncio.run(visit(Workspace.open(Path(setting.root) / "workspace"))))


async def visit(workspace: Workspace) -> dict[str, float]:
    """Seconds until each thing is on screen."""
    found: dict[str, float] = {}
    app = OdysseyApp(workspace)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await app.workers.wait_for_complete()

        async def measure(name: str, act: Callable[[], object], shown: Callable[[], bool]) -> None:
            started, worked = time.perf_counter(), time.process_time()
            act()
            while not shown():
                if time.perf_counter() - started > PATIENCE_S:
                    raise SystemExit(f"{name}: nothing was shown in {PATIENCE_S:.0f} s")
                await asyncio.sleep(LOOK_S)
            found[name] = time.perf_counter() - started
            found[name.replace("_s", "_cpu_s")] = time.process_time() - worked

        def key(name: str) -> Callable[[], object]:
            return lambda: app.simulate_key(name)

        def screen() -> TokensScreen | None:
            on = app.screen
            return on if isinstance(on, TokensScreen) and on.query("#types") else None

        def drawn() -> bool:
            """Rows are drawn, not only known."""
            if (on := screen()) is None:
                return False
            table = on.query_one("#types", LongTable)
            return bool(table.keys) and bool(table.region) and bool(table.render_line(1).text.strip())

        def says(selector: str, words: str) -> Callable[[], bool]:
            return lambda: (on := screen()) is not None and words in str(on.query_one(selector, Static).render())

        await measure("first_rows_s", key("6"), drawn)
        began = time.perf_counter()
        await measure("mask_s", key("n"), says("#masked", "without"))
        await measure("passage_shown_s", lambda: None, says("#place", "Worst passage 1 of"))
        found["passage_shown_s"] = found["first_rows_s"] + time.perf_counter() - began
        await measure("interval_s", lambda: None, lambda: not says("#change", "[…]")() and intervals(screen()))
        found["interval_s"] = found["first_rows_s"] + time.perf_counter() - began
        await measure("next_s", key("J"), says("#place", "Worst passage 2 of"))
        await measure("type_shown_s", key("enter"), says("#place", " for "))
        await app.workers.wait_for_complete()
        await measure("away", key("1"), lambda: screen() is None)
        await measure("again_s", key("6"), drawn)
    return found


def intervals(on: TokensScreen | None) -> bool:
    """Whether the classes have theirs."""
    from odyssey_tui.widgets.keyed_table import KeyedTable

    if on is None:
        return False
    table = on.query_one("#classes", KeyedTable)
    return "[" in str(table.get_row_at(0)[3])


if __name__ == "__main__":
    main()
