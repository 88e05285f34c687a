"""The table of thousands of rows: what is drawn, where the cursor is, what costs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from odyssey_tui.widgets.long_table import LongTable
from odyssey_tui.widgets.table_cells import TableColumn

COLUMNS = (TableColumn("key", "key", 8), TableColumn("more", "more", 4))


class Shown(App[None]):
    """A table alone; ``drawn`` are the rows whose cells were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: set[int] = set()
        self.selected: list[str] = []

    def compose(self) -> ComposeResult:
        yield LongTable()

    def on_long_table_selected(self, message: LongTable.Selected) -> None:
        self.selected.append(message.key)

    @property
    def table(self) -> LongTable:
        return self.query_one(LongTable)

    def show(self, keys: Sequence[str]) -> None:
        def draw(index: int) -> tuple[str, str]:
            self.drawn.add(index)
            return keys[index], "longer than its column"

        self.table.show(COLUMNS, keys, draw)


@asynccontextmanager
async def shown(count: int) -> AsyncIterator[Pilot]:
    async with Shown().run_test(size=(40, 11)) as pilot:
        pilot.app.show([f"r{index}" for index in range(count)])
        await pilot.pause()
        yield pilot


def text(pilot: Pilot, y: int) -> str:
    return pilot.app.table.render_line(y).text


async def test_only_rows_in_sight_are_drawn() -> None:
    async with shown(10_000) as pilot:
        assert pilot.app.drawn == set(range(10))
        await pilot.press("G")
        await pilot.pause()
        assert max(pilot.app.drawn) == 9_999
        assert len(pilot.app.drawn) <= 20
        assert text(pilot, 0).split() == ["key", "more"]
        assert text(pilot, 10).startswith("r9999    lon…")


async def test_keys_move_the_cursor_and_stop_at_the_ends() -> None:
    async with shown(25) as pilot:
        for keys, row in ((("k",), 0), (("j", "down"), 2), (("pagedown",), 12), (("G", "j"), 24), (("pageup",), 14)):
            await pilot.press(*keys)
            assert pilot.app.table.cursor_row == row
        await pilot.press("g", "up")
        assert pilot.app.table.current == "r0"


async def test_the_cursor_stays_on_its_row_and_in_sight() -> None:
    async with shown(100) as pilot:
        pilot.app.table.move_cursor(5)
        pilot.app.show([f"r{index}" for index in range(99, -1, -1)])
        await pilot.pause()
        assert pilot.app.table.current == "r5"
        assert any(text(pilot, y).startswith("r5 ") for y in range(1, 11))


async def test_the_cursor_goes_to_the_neighbour_of_a_row_that_has_gone() -> None:
    async with shown(10) as pilot:
        pilot.app.table.move_cursor(9)
        pilot.app.show(["r0", "r1"])
        assert pilot.app.table.current == "r1"
        pilot.app.show([])
        assert pilot.app.table.current is None
        await pilot.press("j", "G", "pageup")
        pilot.app.show(["r7"])
        assert pilot.app.table.current == "r7"


async def test_a_click_goes_to_a_row_and_a_second_one_selects_it() -> None:
    async with shown(10) as pilot:
        await pilot.click(LongTable, offset=(2, 4))
        assert (pilot.app.table.current, pilot.app.selected) == ("r3", [])
        await pilot.click(LongTable, offset=(2, 4))
        assert pilot.app.selected == ["r3"]
        await pilot.click(LongTable, offset=(2, 0))
        assert pilot.app.table.current == "r3"
