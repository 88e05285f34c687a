"""The similarity screen, driven by keys: models, groups, units, statistics, files."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.similarity import SimilarityScreen
from odyssey_tui.services.scatter import Look
from odyssey_tui.services.similarity import scatter
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.key_bar import KeyBar
from odyssey_tui.widgets.keyed_table import KeyedTable
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.synthetic_similarity import Truth, similarity_workspace


async def open_screen(pilot: Pilot) -> SimilarityScreen:
    await settle(pilot)
    await press(pilot, "5")
    screen = pilot.app.base_screen
    assert isinstance(screen, SimilarityScreen)
    return screen


def words(screen: SimilarityScreen, selector: str) -> str:
    return str(screen.query_one(selector, Static).content)


def title(screen: SimilarityScreen) -> str:
    figure = screen.query_one(Chart).figure
    return f"{figure.title} · {figure.note}"


async def test_models_are_stepped_through_and_pooled(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        assert title(screen) == "ΔL against MMD² · ngrams · size m"
        assert words(screen, "#finding") == scatter(study).sentence
        await press(pilot, "n")
        assert title(screen).endswith("size s")
        await press(pilot, "n")
        assert title(screen).endswith("size m")
        await press(pilot, "a")
        assert title(screen).endswith("2 models")
        assert screen.query_one(KeyedTable).row_count == 40
        assert words(screen, "#finding") == scatter(study, Look(pooled=True)).sentence
        assert "not independent" in words(screen, "#basis")
        colors = {series.color for series in screen.query_one(Chart).figure.scatters if series.label}
        assert len(colors) == 2
        await press(pilot, "a")
        assert title(screen).endswith("size m")


async def test_a_model_is_chosen_from_a_list(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(120, 40)) as pilot:
        screen = await open_screen(pilot)
        await press(pilot, "M")
        options = pilot.app.screen.query_one(OptionList)
        shown = [str(options.get_option_at_index(index).prompt) for index in range(options.option_count)]
        assert shown == ["  size s · 20 domains", "▸ size m · 20 domains"]
        await press(pilot, "enter")
        assert title(screen).endswith("size s")


async def test_the_next_model_leads_back_from_one_with_few_domains(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_screen(pilot)
        begin = title(screen)
        await press(pilot, "M")
        await press(pilot, "G", "j", "j", "j", "enter")
        assert len(screen._scatter.points) == 1
        assert words(screen, "#finding") == "no correlation: 1 domain, three are the fewest"
        assert "not adapted to in this cell" in words(screen, "#basis")
        await press(pilot, "n")
        assert title(screen) == begin


async def test_groups_are_told_apart_or_not(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(120, 40)) as pilot:
        screen = await open_screen(pilot)
        figure = screen.query_one(Chart).figure
        assert {series.label: series.marker for series in figure.scatters if series.label} == {
            "s2orc": "●",
            "wiki": "■",
        }
        assert sum(line.style == "dotted" for line in figure.lines) == 2
        assert "Within groups r = " in words(screen, "#basis")
        await press(pilot, "b")
        figure = screen.query_one(Chart).figure
        assert {series.label for series in figure.scatters} == {""}
        assert "Within groups" not in words(screen, "#basis")


async def test_units_change_what_is_drawn(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        titles = [screen.query_one(Chart).figure.y_label]
        for _ in range(3):
            await press(pilot, "u")
            titles.append(screen.query_one(Chart).figure.y_label)
        assert titles == ["ΔL, nats/token", "perplexity ratio, exp(ΔL)", "ΔL, bits/byte", "ΔL, nats/token"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_statistics_take_the_place_of_the_domains(study: Workspace, size: tuple[int, int]) -> None:
    async with OdysseyApp(study).run_test(size=size) as pilot:
        screen = await open_screen(pilot)
        await press(pilot, "s")
        shown = screen.query_one("#findings", Static)
        for name in ("within wiki", "within groups", "given tokens", "given group, tokens, newlines", "By measure"):
            assert name in str(shown.content)
        assert not screen.query_one(KeyedTable).display
        assert screen.query_one("#statistics").region.bottom <= size[1] - 2
        assert screen.focused.id == "statistics"
        assert max(map(len, str(shown.content).split("\n"))) <= size[0]
        await press(pilot, "s")
        assert screen.query_one(KeyedTable).display
        assert screen.focused is screen.query_one(KeyedTable)


async def test_enter_opens_the_ledger_of_the_point_under_the_cursor(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        await press(pilot, "j", "j")
        point = screen.current
        assert point.domain == scatter(study).points[2].domain
        await press(pilot, "enter")
        assert pilot.app.base_screen.SCOPE == "tokens"
        name = pilot.app.base_screen.source.report.name
        assert (name.before_id, name.after_id) == (point.evaluation_before, point.evaluation_after)


async def test_export_writes_what_the_name_says(study: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        await open_screen(pilot)
        await press(pilot, "E")
        assert pilot.app.screen.query_one(Input).value == "similarity-mmd2-ngrams.svg"
        await press(pilot, "enter")
        assert (tmp_path / "similarity-mmd2-ngrams.svg").read_text().count("<circle") >= 10
        await press(pilot, "E")
        assert pilot.app.screen.query_one(Input).value == "similarity-mmd2-ngrams-2.svg"
        pilot.app.screen.query_one(Input).value = "table.csv"
        await press(pilot, "enter")
        assert len((tmp_path / "table.csv").read_text().splitlines()) == 21
        await press(pilot, "E")
        pilot.app.screen.query_one(Input).value = "table.docx"
        await press(pilot, "enter")
        assert any("ends in .docx" in note.message for note in pilot.app._notifications)


async def test_different_tokenizers_are_pooled_in_bits_only(tmp_path: Path) -> None:
    workspace = similarity_workspace(tmp_path / "two", Truth(6), sizes=["s"], seeds=[0], second_tokenizer=True)
    async with OdysseyApp(workspace).run_test(size=(120, 40)) as pilot:
        screen = await open_screen(pilot)
        assert screen.query_one(Chart).figure.y_label == "ΔL, nats/token"
        await press(pilot, "a")
        assert screen.query_one(Chart).figure.y_label == "ΔL, bits/byte"
        assert "2 different tokenizers" in words(screen, "#basis")
        await press(pilot, "u")
        assert screen.query_one(Chart).figure.y_label == "ΔL, bits/byte"


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (200, 60)])
async def test_every_size_survives_every_key(study: Workspace, empty: Workspace, size: tuple[int, int]) -> None:
    for workspace in (study, empty):
        async with OdysseyApp(workspace).run_test(size=size) as pilot:
            screen = await open_screen(pilot)
            for key in ("s", "a", "n", "b", "u", "m", "e", "s", "a", "j"):
                await press(pilot, key)
            assert not screen._troubles
            assert screen.has_class("-empty") is (workspace is empty)


async def test_the_footer_fits_eighty_columns(study: Workspace) -> None:
    async with OdysseyApp(study).run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        labels = [key.label for key in screen.query_one(KeyBar).shown]
        assert {"Measure", "Model", "All", "Groups", "Statistics", "Help", "Quit"} <= {*labels}
