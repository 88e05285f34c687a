"""The plan screen as a whole, so that a change of layout is seen: update with ``pytest --snapshot-update``."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from odyssey_tui.app import OdysseyApp
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.plans import plan_from


async def look(pilot: Pilot) -> None:
    await settle(pilot)
    await press(pilot, "8")
    pilot.app.screen.query_one("#target", Input).value = "2.7"
    await settle(pilot)
    await press(pilot, "a", "l", "l", "k")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_plan(tmp_path, monkeypatch: pytest.MonkeyPatch, snap_compare, size: tuple[int, int]) -> None:
    plan_from(monkeypatch)
    workspace = Workspace.create(tmp_path / "workspace")
    assert snap_compare(OdysseyApp(workspace), terminal_size=size, run_before=look)


def test_plan_without_colour(tmp_path, monkeypatch: pytest.MonkeyPatch, snap_compare) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    plan_from(monkeypatch)
    workspace = Workspace.create(tmp_path / "workspace")
    assert snap_compare(OdysseyApp(workspace), terminal_size=(80, 24), run_before=look)
