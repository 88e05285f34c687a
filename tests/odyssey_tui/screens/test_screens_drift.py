"""What moved, on the Tokens screen: its columns where a drift was measured, else an offer to measure it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from engine.launch.tickets import ticketed
from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.confirm import ConfirmScreen
from odyssey_tui.screens.tokens import TokensScreen
from odyssey_tui.services.format import signed
from odyssey_tui.widgets.long_table import LongTable
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.synthetic_drift import HIDDEN_SHARE, write_drift


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue in which nothing is executed."""
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: None)


def adapted(workspace: Workspace) -> str:
    return next(name for name in workspace.run_ids() if name.startswith("adapt-docs-r0.25-p45-s-"))


async def open_tokens(pilot: Pilot) -> TokensScreen:
    await settle(pilot)
    await pilot.app.go("tokens", adapted(pilot.app.workspace))
    await settle(pilot)
    return pilot.app.base_screen


def line_of(screen: TokensScreen) -> str:
    return str(screen.query_one("#rise", Static).render())


def titles_of(screen: TokensScreen) -> list[str]:
    return [column.title.strip() for column in screen.query_one("#types", LongTable)._columns]


def measure(screen: TokensScreen, workspace: Workspace) -> str:
    name = screen.source.report.name
    return write_drift(workspace, adapted(workspace), name.before_id, name.after_id)


@pytest.mark.parametrize(
    ("size", "titles"),
    [
        ((80, 24), ["token", "contrib.", "hidden", "Δh"]),
        ((120, 40), ["token", "contrib.", "hidden", "output", "Δh", "Δe", "Δw"]),
    ],
)
async def test_columns_of_what_moved_come_and_go(
    own_voyage: Workspace, size: tuple[int, int], titles: list[str]
) -> None:
    async with OdysseyApp(own_voyage).run_test(size=size) as pilot:
        screen = await open_tokens(pilot)
        before = titles_of(screen), line_of(screen)
        run_id = measure(screen, own_voyage)
        await press(pilot, "r")
        assert (titles_of(screen), line_of(screen)) == before
        await press(pilot, "m", "D")
        report = screen.source.report
        assert report.drift.run_id == run_id
        assert titles_of(screen) == titles
        delta = report.ledger.delta
        assert line_of(screen).startswith(f"ΔL {signed(delta, 4)} = hidden {signed(HIDDEN_SHARE * delta, 4)}, output")
        assert line_of(screen).endswith("moved Δh 25.0%, Δe 12.0%, Δw 10.0%")
        table = screen.query_one("#types", LongTable)
        assert sum(column.width + 1 for column in table._columns) <= table.size.width
        row = report.ledger.row(0)
        cells = [cell.strip() for cell in table.cells(table.keys[0])]
        assert cells[1:3] == [signed(row.contribution, 5), signed(HIDDEN_SHARE * row.contribution, 5)]
        assert "without 1 type" in str(screen.query_one("#masked", Static).render())
        await press(pilot, "D")
        assert (titles_of(screen), line_of(screen)) == before


async def test_a_drift_is_queued_once_somebody_agrees(own_voyage: Workspace, queue: None) -> None:
    own_voyage.run(adapted(own_voyage)).checkpoint("atpp4").mkdir(parents=True)
    waiting = ticketed(own_voyage)
    async with OdysseyApp(own_voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        await press(pilot, "D")
        dialog = pilot.app.screen
        assert isinstance(dialog, ConfirmScreen)
        text = " ".join(str(dialog.query_one(".dialog Static", Static).render()).split())
        assert text.startswith("No drift of this pair is measured. Queue drift-docs-r0.25-p45-s-atpp4?")
        await press(pilot, "D", "escape")
        assert ticketed(own_voyage) == waiting
        await press(pilot, "D", "y")
        (queued,) = ticketed(own_voyage) - waiting
        assert queued.startswith("drift-docs-r0.25-p45-s-atpp4-")
        await press(pilot, "D")
        assert pilot.app.screen is screen
        assert "is queued" in [note.message for note in pilot.app._notifications][-1]
        measure(screen, own_voyage)
        await press(pilot, "r")
        assert titles_of(screen) == ["token", "contrib.", "hidden", "Δh"]


async def test_what_cannot_be_measured_says_why(own_voyage: Workspace, tmp_path: Path) -> None:
    runs = own_voyage.run_ids()
    async with OdysseyApp(own_voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        await press(pilot, "D")
        assert pilot.app.screen is screen
        assert "are gone: there is no" in [note.message for note in pilot.app._notifications][-1]
        other = next(name for name in runs if name.startswith("adapt-docs-r0-p45-s-"))
        await pilot.app.go("tokens", (other, adapted(own_voyage)))
        await settle(pilot)
        await press(pilot, "D")
        assert "is not the base that" in [note.message for note in pilot.app._notifications][-1]
    assert own_voyage.run_ids() == runs
