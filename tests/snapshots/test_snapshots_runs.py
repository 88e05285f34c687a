"""Whole screens of comparisons, seeds and consoles: update with ``pytest --snapshot-update``."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from odyssey_tui.app import OdysseyApp
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.synthetic import synthetic_workspace
from tests.support.synthetic_matrix import matrix_workspace

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return synthetic_workspace(tmp_path_factory.mktemp("snapshots") / "workspace")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return matrix_workspace(tmp_path_factory.mktemp("snapshots") / "seeded")


async def compare_three(pilot: Pilot) -> None:
    await settle(pilot)
    names = ("adapt-docs-r0-p15-s-", "adapt-docs-r0.25-p15-s-", "adapt-docs-r0.5-p15-s-")
    found = pilot.app.workspace.run_ids()
    marked = [next(run_id for run_id in found if run_id.startswith(name) and "lora" not in run_id) for name in names]
    pilot.app.marked[:] = marked
    await press(pilot, "2")
    await press(pilot, "tab", "tab", "s", "s", "right")


async def read_a_console(pilot: Pilot) -> None:
    await settle(pilot)
    await press(pilot, "slash", *"~headers-r0-p5", "enter", "j", "enter")
    await press(pilot, "o")
    await press(pilot, "slash", *"nan", "enter")


async def unfold_seeds(pilot: Pilot) -> None:
    await settle(pilot)
    await press(pilot, "j", "enter")


@SIZES
def test_compare(workspace: Workspace, snap_compare, size: tuple[int, int]) -> None:
    assert snap_compare(OdysseyApp(workspace), terminal_size=size, run_before=compare_three)


def test_console(workspace: Workspace, snap_compare) -> None:
    assert snap_compare(OdysseyApp(workspace), terminal_size=(80, 24), run_before=read_a_console)


@SIZES
def test_seeds(seeded: Workspace, snap_compare, size: tuple[int, int]) -> None:
    assert snap_compare(OdysseyApp(seeded), terminal_size=size, run_before=unfold_seeds)
