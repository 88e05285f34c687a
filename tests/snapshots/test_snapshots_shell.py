"""Whole screens of the shell, so that a change of layout is seen: update with ``pytest --snapshot-update``."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from odyssey_tui.app import OdysseyApp
from odyssey_tui.settings import Settings
from store.workspace import Workspace
from tests.support.piloting import settle
from tests.support.synthetic import synthetic_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return synthetic_workspace(tmp_path_factory.mktemp("snapshots") / "workspace")


async def look_at_a_run(pilot: Pilot) -> None:
    await settle(pilot)
    await pilot.press("slash", *"~adapt-docs-r0-p5-s", "enter", "j", "enter")
    await settle(pilot)


async def read_help(pilot: Pilot) -> None:
    await settle(pilot)
    await pilot.press("question_mark")
    await settle(pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_runs(workspace: Workspace, snap_compare, size: tuple[int, int]) -> None:
    assert snap_compare(OdysseyApp(workspace), terminal_size=size, run_before=settle)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_run(workspace: Workspace, snap_compare, size: tuple[int, int]) -> None:
    assert snap_compare(OdysseyApp(workspace), terminal_size=size, run_before=look_at_a_run)


def test_help(workspace: Workspace, snap_compare) -> None:
    app = OdysseyApp(workspace, Settings(theme="odyssey-light"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=read_help)


def test_welcome(tmp_path, snap_compare) -> None:
    app = OdysseyApp(Workspace.create(tmp_path / "empty"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=settle)
