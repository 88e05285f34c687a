"""The matrix on a screen, driven by keys."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.matrix import MatrixScreen
from odyssey_tui.screens.similarity import SimilarityScreen
from odyssey_tui.screens.tokens import TokensScreen
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.heat_map import HeatCell, HeatMap, HeatTable, forms_of, in_sight, squeeze
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.synthetic_matrix import TEXTS, Author, Rise, Way, matrix_workspace


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three domains, two seeds, and two runs of a variant that is scored on its domain and the base text alone."""
    workspace = matrix_workspace(tmp_path_factory.mktemp("study") / "workspace", seeds=(0, 1))
    author = Author(workspace, scored=())
    (base,) = (one for one in workspace.run_ids() if one.startswith("pretrain-s-seed0"))
    author.bases = {0: base}
    for domain in ("law", "web"):
        author.adapt(domain, 0, Way(variant="kl"), {text: Rise(0.5, 0.5) for text in TEXTS})
    ingest(workspace)
    return workspace


async def open_matrix(pilot: Pilot) -> MatrixScreen:
    await settle(pilot)
    await press(pilot, "5")
    await press(pilot, "v")
    screen = pilot.app.base_screen
    assert isinstance(screen, MatrixScreen)
    return screen


def text_of(screen: MatrixScreen, selector: str) -> str:
    return " ".join(str(screen.query_one(selector, Static).render()).split())


def shown(screen: MatrixScreen) -> str:
    """The lines of the heat map as they are on screen."""
    heat_map = screen.query_one(HeatMap)
    return "\n".join(heat_map.render_line(y).text for y in range(heat_map.size.height))


async def test_cells_have_numbers_and_the_cursor_tells_all_of_one(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_matrix(pilot)
        heat_map = screen.query_one(HeatMap)
        assert heat_map.table.rows == ("zero-shot", "law", "novels", "web")
        assert heat_map.current == ("law", "law")
        assert "−1.010" in shown(screen)
        assert "adapted to law, on law (its own): 3.050 → 2.040 nats/token, ΔL −1.010" in text_of(screen, "#story")
        assert "ΔL by seed: 0 −1.020, 1 −1.000; sd 0.014." in text_of(screen, "#story")
        await press(pilot, "j", "l")
        assert heat_map.current == ("novels", "novels")
        assert "adapted to novels, on novels" in text_of(screen, "#story")
        await press(pilot, "k", "k", "G")
        assert heat_map.current == ("web", "base")
        await press(pilot, "g")
        assert "zero-shot on law: 3.050 nats/token" in text_of(screen, "#story")
        assert "2 base models" in text_of(screen, "#story")


async def test_values_orders_cells_and_rows_follow_keys(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(120, 40)) as pilot:
        screen = await open_matrix(pilot)
        heat_map = screen.query_one(HeatMap)
        titles = []
        for _ in range(7):
            titles.append(text_of(screen, "#heading").split("  ")[0].split(" size ")[0])
            await press(pilot, "x")
        assert [title.partition(" (")[0].partition(" fell")[0].partition(" low")[0] for title in titles] == [
            "ΔL",
            "loss after adaptation",
            "perplexity after adaptation",
            "PPL ratio",
            "zero-shot loss",
            "bits per byte after adaptation",
            "change of bits per byte",
        ]
        await press(pilot, "o")
        assert heat_map.table.rows == ("zero-shot", "law", "web", "novels")
        assert heat_map.table.columns == ("law", "web", "novels", "base")
        assert "ordered by ΔL" in text_of(screen, "#heading")
        await press(pilot, "n")
        assert heat_map.table.rows == ("zero-shot", "law", "web")
        assert "kl" in text_of(screen, "#heading")
        assert "cell 2 of 2" in text_of(screen, "#heading")
        assert "2 blank" in text_of(screen, "#heading")
        await press(pilot, "l")
        assert "other_domains: true" in text_of(screen, "#story")
        await press(pilot, "M", "enter")
        assert "cell 1 of 2" in text_of(screen, "#heading")
        await press(pilot, "b")
        assert heat_map.table.corner == "variant"
        assert heat_map.table.rows == ("zero-shot", "plain", "kl")


async def test_keys_pressed_faster_than_it_reads_all_count(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_matrix(pilot)
        await pilot.press("x", "x", "x")
        await settle(pilot)
        assert screen._snapshot.matrix.value.name == "ppl-ratio"


async def test_an_interval_comes_on_demand_and_stays(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(120, 40)) as pilot:
        screen = await open_matrix(pilot)
        assert "bootstrap" not in text_of(screen, "#story")
        await press(pilot, "i")
        assert "95 % bootstrap over" in text_of(screen, "#story")
        assert "the 2 seeds held fixed" in text_of(screen, "#story")
        await press(pilot, "l")
        assert "bootstrap" not in text_of(screen, "#story")
        await press(pilot, "h")
        assert "bootstrap" in text_of(screen, "#story")


async def test_enter_opens_the_ledger_and_escape_goes_back(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_matrix(pilot)
        await press(pilot, "l", "enter")
        tokens = pilot.app.base_screen
        assert isinstance(tokens, TokensScreen)
        entry = screen._snapshot.matrix.entry("law", "novels")
        assert tokens.source.report.name.after_id == entry.scores[0].after
        await press(pilot, "5", "v")
        assert pilot.app.base_screen is screen
        assert screen.query_one(HeatMap).current == ("law", "novels")
        await press(pilot, "slash", *"variant=")
        assert "kl" in screen.query_one(FilterLine).completion.candidates
        await press(pilot, "k", "l", "enter")
        assert screen.query_one(HeatMap).table.rows == ("zero-shot", "law", "web")
        await press(pilot, "escape")
        assert screen.query_one(HeatMap).table.rows == ("zero-shot", "law", "novels", "web")
        await press(pilot, "escape")
        assert isinstance(pilot.app.base_screen, SimilarityScreen)


async def test_the_export_is_the_matrix_on_screen(study: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        await open_matrix(pilot)
        await press(pilot, "E")
        field = pilot.app.screen.query_one("Input")
        assert field.value == "matrix-delta.svg"
        field.value = "m.csv"
        await press(pilot, "enter")
        await press(pilot, "E", "enter")
    assert (tmp_path / "matrix-delta.svg").read_text().startswith("<svg ")
    with (tmp_path / "m.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 16


async def test_the_palette_opens_it_from_anywhere(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        commands = {command.title: command.callback for command in pilot.app.get_system_commands(pilot.app.screen)}
        await commands["Matrix"]()
        await settle(pilot)
        assert isinstance(pilot.app.base_screen, MatrixScreen)
        assert "Matrix" not in {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}


@pytest.mark.parametrize("size", [(80, 24), (20, 5)])
async def test_an_empty_workspace_says_what_to_do(empty: Workspace, size: tuple[int, int]) -> None:
    async with OdysseyApp(empty).run_test(size=size) as pilot:
        screen = await open_matrix(pilot)
        assert screen.has_class("-empty")
        assert "other_domains: true" in text_of(screen, "#empty") or size[0] < 80
        await press(pilot, "x", "n", "o", "i", "E", "enter", "j")
        assert pilot.app.base_screen is screen
        assert not screen._troubles


async def test_new_results_appear_and_the_cursor_stays(study: Workspace, tmp_path: Path) -> None:
    shutil.copytree(study.root, tmp_path / "workspace")
    workspace = Workspace.open(tmp_path / "workspace")
    author = Author(workspace)
    async with OdysseyApp(workspace).run_test(size=(20, 5)) as pilot:
        screen = await open_matrix(pilot)
        await press(pilot, "j", "j", "l")
        assert screen.query_one(HeatMap).current == ("web", "novels")
        author.clock.now += 1e6
        author.pretrain(5)
        author.adapt("web", 5)
        await press(pilot, "r")
        assert screen.query_one(HeatMap).current == ("web", "novels")
        assert len(screen._snapshot.matrix.entry("web", "novels").scores) == 3


async def test_without_colour_signs_and_boldness_tell(study: Workspace, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_matrix(pilot)
        cells = [cell for row in screen.query_one(HeatMap).table.cells for cell in row]
        assert all(cell.ground is None for cell in cells)
        assert [cell.marked for cell in cells].count(True) == 3
        assert "+0.390" in shown(screen)


async def test_a_click_moves_and_a_second_one_opens(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_matrix(pilot)
        heat_map = screen.query_one(HeatMap)
        place = (heat_map.label_width + 2 * (heat_map.cell_width + 1) + 2, 3)
        await pilot.click(HeatMap, offset=place)
        await settle(pilot)
        assert heat_map.current == ("novels", "web")
        await pilot.click(HeatMap, offset=place)
        await settle(pilot)
        assert isinstance(pilot.app.base_screen, TokensScreen)


async def test_a_large_map_scrolls_under_its_labels() -> None:
    from textual.app import App, ComposeResult

    names = tuple(f"name-{number:02d}" for number in range(30))
    cells = tuple(
        tuple(
            HeatCell(forms_of([f"+{(row + column) / 100:.3f}", f"+{(row + column) / 100:.2f}"])) for column in range(30)
        )
        for row in range(30)
    )

    class One(App[None]):
        def compose(self) -> ComposeResult:
            yield HeatMap()

    async with One().run_test(size=(60, 12)) as pilot:
        heat_map = pilot.app.query_one(HeatMap)
        heat_map.styles.height = 12
        heat_map.show(HeatTable("corner", names, names, cells))
        await pilot.pause()
        first = heat_map.render_line(1).text
        assert first.startswith("name-00")
        assert "+.00" in first
        heat_map.focus()
        await pilot.press("G")
        last = heat_map.render_line(11).text
        assert last.startswith("name-29")
        assert last.rstrip().endswith("+.58")
        assert "◂" in heat_map.render_line(0).text
        await pilot.press("g", "pagedown")
        assert heat_map.current == ("name-11", "name-00")


def test_numbers_are_squeezed_and_lists_scroll_no_more_than_they_must() -> None:
    assert [squeeze(text) for text in ("+0.31", "−0.05", "0.50", "10.20", "+1.00")] == [
        "+.31",
        "−.05",
        ".50",
        "10.20",
        "+1.00",
    ]
    assert in_sight(0, 5, 10, 30) == 0
    assert in_sight(0, 12, 10, 30) == 3
    assert in_sight(25, 29, 10, 30) == 20
    assert in_sight(5, 2, 10, 30) == 2
