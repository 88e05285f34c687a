"""The Launch screen as a whole, so that a change of layout is seen: update with ``pytest --snapshot-update``."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from odyssey_tui.app import OdysseyApp
from odyssey_tui.services import composition
from odyssey_tui.widgets.field_table import FieldTable
from store.space import Room
from store.workspace import Workspace
from tests.support.piloting import press, settle


@pytest.fixture(autouse=True)
def same_machine(monkeypatch) -> None:
    """As much room and as many slots on every machine, whatever a test before asked for."""
    monkeypatch.setattr("store.space.look_at", lambda folder: Room("disk", folder, 10**11))
    monkeypatch.setenv("ODYSSEY_SLOTS", "2")
    monkeypatch.setattr(composition, "machine", composition.machine.__wrapped__)


async def compose(pilot: Pilot) -> None:
    await settle(pilot)
    await press(pilot, "3")
    await press(pilot, *"0,.3", "enter")


async def edit_a_mask(pilot: Pilot) -> None:
    await compose(pilot)
    await press(pilot, "slash", *"adapt_training.masks", "enter", "plus")
    await press(pilot, "escape")
    pilot.app.screen.query_one(FieldTable).find(("adapt_training", "masks", 0, "classes"))
    pilot.app.screen.query_one("#value", Input).cursor_blink = False
    await press(pilot, "enter", *"newlines")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_launch(tmp_path, snap_compare, size: tuple[int, int]) -> None:
    app = OdysseyApp(Workspace.create(tmp_path / "empty"))
    assert snap_compare(app, terminal_size=size, run_before=compose)


def test_launch_editing_a_key(tmp_path, snap_compare) -> None:
    app = OdysseyApp(Workspace.create(tmp_path / "empty"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=edit_a_mask)
