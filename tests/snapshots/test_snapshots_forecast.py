"""The forecast screen as a whole, so that a change of layout is seen: update with ``pytest --snapshot-update``."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from odyssey_tui.app import OdysseyApp
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.synthetic import synthetic_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return synthetic_workspace(tmp_path_factory.mktemp("forecast") / "workspace")


async def look(pilot: Pilot) -> None:
    await settle(pilot)
    await press(pilot, "7")


async def look_at_errors(pilot: Pilot) -> None:
    await look(pilot)
    await press(pilot, "e")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_forecast(workspace: Workspace, snap_compare, size: tuple[int, int]) -> None:
    assert snap_compare(OdysseyApp(workspace), terminal_size=size, run_before=look)


def test_errors(workspace: Workspace, snap_compare) -> None:
    assert snap_compare(OdysseyApp(workspace), terminal_size=(80, 24), run_before=look_at_errors)
