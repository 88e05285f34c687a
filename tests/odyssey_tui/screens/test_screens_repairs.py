"""Repairs side by side on a screen, driven by keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.matrix import MatrixScreen
from odyssey_tui.screens.repairs import RepairsScreen
from odyssey_tui.screens.tokens import TokensScreen
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.heat_map import HeatMap
from odyssey_tui.widgets.keyed_table import KeyedTable
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.synthetic_matrix import Author, Rise, Way, matrix_workspace


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three domains adapted to plainly, and two ways more to adapt to ``web``; two sizes."""
    workspace = matrix_workspace(tmp_path_factory.mktemp("study") / "workspace", seeds=(0, 1, 2))
    author = Author(workspace)
    for seed in range(3):
        (base,) = (one for one in workspace.run_ids() if one.startswith(f"pretrain-s-seed{seed}"))
        author.bases[seed] = base
        author.adapt("web", seed, Way(variant="kl"), {"web": Rise(-0.7, -0.6 - 0.01 * seed)})
        author.adapt("web", seed, Way(newlines="strip"), {"web": Rise(2.0, -0.5)})
    large = Author(workspace, size="m")
    large.pretrain(0, n_params=300_000)
    large.adapt("web", 0, n_params=300_000)
    ingest(workspace)
    return workspace


async def open_repairs(pilot: Pilot, *moves: str) -> RepairsScreen:
    await settle(pilot)
    for key in ("5", "v", *moves, "v"):
        await press(pilot, key)
    screen = pilot.app.base_screen
    assert isinstance(screen, RepairsScreen)
    return screen


def text_of(screen: RepairsScreen, selector: str) -> str:
    return " ".join(str(screen.query_one(selector, Static).render()).split())


def cells(screen: RepairsScreen) -> list[list[str]]:
    return [[str(cell).strip() for cell in row.cells] for row in screen.query_one(KeyedTable)._rows]


async def test_the_domain_under_the_matrix_cursor_is_compared(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(120, 40)) as pilot:
        screen = await open_repairs(pilot, "j", "j")
        assert text_of(screen, "#heading").startswith("Ways to adapt to web size s, PTPP 16, ATPP 4 · cell 1 of 2")
        assert [row[0] for row in cells(screen)] == ["plain", "kl", "newlines stripped"]
        assert cells(screen)[1][1].endswith("*")
        assert "t, 3 seeds" in text_of(screen, "#sentences")
        await press(pilot, "j")
        assert text_of(screen, "#sentences").startswith("kl: on web below plain, −")
        await press(pilot, "escape")
        assert isinstance(pilot.app.base_screen, MatrixScreen)
        assert pilot.app.base_screen.query_one(HeatMap).current[0] == "web"


async def test_classes_cells_and_domains_follow_keys(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(120, 40)) as pilot:
        screen = await open_repairs(pilot, "j", "j")
        before = cells(screen)[2]
        await press(pilot, "m")
        assert screen._snapshot.found.classes == ("whitespace",)
        after = cells(screen)[2]
        assert (before[1], before[4]) == (after[1], after[4])
        assert before[2] != after[2]
        await press(pilot, "n")
        assert "size m" in text_of(screen, "#heading")
        assert [row[0] for row in cells(screen)] == ["plain"]
        assert "One way to adapt only" in text_of(screen, "#sentences")
        await press(pilot, "M", "enter")
        assert "size s" in text_of(screen, "#heading")
        await press(pilot, "d", "enter")
        assert "Ways to adapt to law" in text_of(screen, "#heading")
        await press(pilot, "slash", *"domain=")
        assert screen.query_one(FilterLine).completion.candidates == ("law", "novels", "web")
        await press(pilot, *"web", "enter")
        assert "Ways to adapt to web" in text_of(screen, "#heading")
        assert not screen._troubles


async def test_enter_opens_the_ledger_of_the_way(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_repairs(pilot, "j", "j")
        await press(pilot, "j", "enter")
        tokens = pilot.app.base_screen
        assert isinstance(tokens, TokensScreen)
        assert tokens.source.report.name.after_id == screen._snapshot.found.rows[1].after


async def test_the_table_is_exported(study: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        await open_repairs(pilot, "j", "j")
        await press(pilot, "E")
        assert pilot.app.screen.query_one("Input").value == "repairs-web.csv"
        await press(pilot, "enter")
    assert (tmp_path / "repairs-web.csv").read_text().startswith("repair,variant,newlines,")


@pytest.mark.parametrize("size", [(80, 24), (20, 5)])
async def test_it_survives_every_size_full_and_empty(study: Workspace, empty: Workspace, size: tuple[int, int]) -> None:
    for workspace in (study, empty):
        async with OdysseyApp(workspace).run_test(size=size) as pilot:
            await settle(pilot)
            await pilot.app.go("repairs")
            await settle(pilot)
            screen = pilot.app.base_screen
            assert screen.has_class("-empty") is (workspace is empty)
            await press(pilot, "m", "n", "j", "r")
            assert not screen._troubles
