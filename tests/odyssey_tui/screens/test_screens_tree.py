"""The tree of runs: seeds, keys of configurations, completion, exports, thousands of runs, hostile names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.screens.runs import RunsScreen
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.long_table import LongTable
from odyssey_tui.widgets.preview import Preview
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.piloting import press, record_painting, settle
from tests.support.synthetic import write_finished_runs
from tests.support.synthetic_matrix import matrix_workspace

HOSTILE = "\x1b[2J\x1b]52;c;ZXZpbA==\x07\u202eevil\nname 数字 🙂 שלום"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return matrix_workspace(tmp_path_factory.mktemp("seeded") / "w")


@asynccontextmanager
async def opened(workspace: Workspace, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot]:
    async with OdysseyApp(workspace).run_test(size=size) as pilot:
        await settle(pilot)
        yield pilot


def table(pilot: Pilot) -> LongTable:
    return pilot.app.screen.query_one(LongTable)


def painted_text(pilot: Pilot) -> str:
    """The whole screen as characters."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def write_hostile_run(workspace: Workspace) -> None:
    """One finished run whose name, experiment, tags and console try to drive the terminal."""
    write_finished_runs(workspace, 1)
    (run,) = workspace.runs.glob("scale-*")
    spec = json.loads((run / "spec.json").read_text())
    (run / "spec.json").write_text(json.dumps({**spec, "name": HOSTILE, "experiment": HOSTILE}))
    (run / "attempts" / "1" / "console.log").write_text(f"{HOSTILE}\n\x1b[31mred\x1b[0m\n")
    ingest(workspace)


async def test_seeds_are_one_line_until_they_are_unfolded(seeded: Workspace) -> None:
    async with opened(seeded) as pilot:
        keys = table(pilot).keys
        assert [key.partition(":")[0] for key in keys] == ["group", "group", "seeds", "seeds", "seeds"]
        columns = [column.key for column in table(pilot).columns]
        cells = dict(zip(columns, table(pilot).cells(keys[2]), strict=True))
        assert cells["delta_target"].strip() == "−1.000±.020"
        assert (cells["state"], cells["name"]) == ("✓3", "adapt-law-r0-lr0.001-s ×3")
        await press(pilot, "j", "enter")
        assert len(table(pilot).keys) == 8
        assert [table(pilot).cells(key)[2] for key in table(pilot).keys[3:6]] == ["  seed 0", "  seed 1", "  seed 2"]
        (curve,), _ = pilot.app.screen.query_one(Preview).drawn
        assert curve.low is not None
        await press(pilot, "j", "enter")
        assert isinstance(pilot.app.screen, RunScreen)


async def test_marking_seeds_marks_every_run_and_unmarks_them(seeded: Workspace) -> None:
    async with opened(seeded, (80, 24)) as pilot:
        await press(pilot, "j", "space")
        assert len(pilot.app.marked) == 3
        assert table(pilot).current == table(pilot).keys[3]
        await press(pilot, "k", "space")
        assert pilot.app.marked == []
        await press(pilot, "g", "j", "space")
        assert len(pilot.app.marked) == 9


async def test_runs_are_grouped_by_any_key_from_a_list_and_folded_at_once(seeded: Workspace) -> None:
    async with opened(seeded, (80, 24)) as pilot:
        await press(pilot, "B")
        assert isinstance(pilot.app.screen, ChooseScreen)
        options = pilot.app.screen.query_one(OptionList)
        names = [str(options.get_option_at_index(index).prompt) for index in range(options.option_count)]
        options.highlighted = next(index for index, name in enumerate(names) if name.startswith("target  ("))
        await press(pilot, "enter")
        groups = [key for key in table(pilot).keys if key.startswith("group:")]
        assert groups[-3:] == ["group:target law", "group:target novels", "group:target web"]
        await press(pilot, "z")
        assert all(key.startswith("group:") for key in table(pilot).keys)
        await press(pilot, "z")
        assert len(table(pilot).keys) > len(groups)


async def test_a_filter_is_completed_by_tab(seeded: Workspace) -> None:
    async with opened(seeded, (80, 24)) as pilot:
        await press(pilot, "slash")
        line = pilot.app.screen.query_one(FilterLine)
        assert "domain=" in line.completion.candidates
        await press(pilot, "d", "o", "tab")
        assert line.completion.candidates == ("law", "novels", "web")
        await press(pilot, "down", "tab")
        assert pilot.app.screen.query_one("#filter", Input).value == "domain=novels"
        assert pilot.app.screen._snapshot.listing.shown == 3
        await press(pilot, *" and training.l")
        assert "training.lr" in line.completion.candidates
        await press(pilot, *"r>1")
        assert not pilot.app.screen.query_one("#filter-trouble", Static).display
        assert pilot.app.screen._snapshot.listing.shown == 0
        await press(pilot, "x")
        assert pilot.app.screen.query_one("#filter-trouble", Static).display


async def test_the_cursor_returns_to_its_run_when_the_filter_goes(seeded: Workspace) -> None:
    async with opened(seeded, (80, 24)) as pilot:
        table(pilot).move_cursor(4)
        current = table(pilot).current
        await press(pilot, "slash", *"domain=law", "escape")
        assert table(pilot).current == current


async def test_the_table_and_the_curves_are_exported(seeded: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(seeded) as pilot:
        for name in ("runs.csv", "runs.json", "runs.tex", "runs.svg"):
            await press(pilot, "E")
            pilot.app.screen.query_one(Input).value = name
            await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunsScreen)
    assert (tmp_path / "runs.csv").read_text().count("\n") == 14
    record = json.loads((tmp_path / "runs.json").read_text())
    assert [len(group["seeds"]) for group in record] == [0, 3]
    assert record[1]["seeds"][0]["delta_sd"] == pytest.approx(0.02, abs=1e-4)
    assert (tmp_path / "runs.tex").read_text().startswith("\\begin{tabular}")
    assert "adapt-law" in (tmp_path / "runs.svg").read_text()


async def test_nothing_is_sent_while_nothing_changes(seeded: Workspace) -> None:
    async with opened(seeded) as pilot:
        await press(pilot, "j")
        painted = record_painting(pilot.app)
        for _ in range(3):
            pilot.app.screen.reload()
            pilot.app.look_now()
            await settle(pilot)
        assert painted == []


async def test_reads_that_are_asked_for_meanwhile_are_one(seeded: Workspace, monkeypatch) -> None:
    async with opened(seeded, (80, 24)) as pilot:
        read: list[object] = []
        load = RunsScreen.load
        monkeypatch.setattr(RunsScreen, "load", lambda self, request: (read.append(request), load(self, request))[1])
        for _ in range(200):
            pilot.app.screen.reload()
        await settle(pilot)
        assert len(read) == 2


async def test_moving_the_cursor_reads_curves_and_not_the_list(seeded: Workspace, monkeypatch) -> None:
    async with opened(seeded) as pilot:
        read: list[object] = []
        monkeypatch.setattr(RunsScreen, "load", lambda self, request: read.append(request))
        before = pilot.app.screen.query_one(Preview).drawn[0]
        await press(pilot, "j", "j")
        assert pilot.app.screen.query_one(Preview).drawn[0] != before
        assert read == []


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (250, 80)])
async def test_hostile_names_and_consoles_reach_no_terminal(tmp_path: Path, size) -> None:
    workspace = Workspace.create(tmp_path / "w")
    write_hostile_run(workspace)
    async with opened(workspace, size) as pilot:
        assert "\x1b" not in painted_text(pilot)
        await press(pilot, "j", "enter")
        assert isinstance(pilot.app.screen, RunScreen)
        assert not pilot.app.screen._troubles
        assert not {"\x1b", "\x07", "\u202e"} & set(painted_text(pilot))
        await press(pilot, "o")
        assert not {"\x1b", "\x07", "\u202e"} & set(painted_text(pilot))
        assert table(pilot).cells("2") == ("red",)


async def test_a_storm_of_sizes_and_escapes_is_survived(seeded: Workspace) -> None:
    async with opened(seeded, (80, 24)) as pilot:
        await press(pilot, "j", "j", "enter")
        for size in ((20, 5), (250, 80), (1, 1), (81, 25), (120, 40), (40, 12)):
            await pilot.resize_terminal(*size)
        await pilot.press("escape", "escape", "escape", "2", "1", "4", "1", "enter", "escape", "escape")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunsScreen)
        assert not pilot.app.screen._troubles
        assert pilot.app._exception is None


async def test_thousands_of_runs_are_listed_and_only_those_in_sight_drawn(tmp_path: Path, monkeypatch) -> None:
    workspace = Workspace.create(tmp_path / "w")
    write_finished_runs(workspace, 2_000)
    ingest(workspace)
    drawn: list[str] = []
    from odyssey_tui.screens import runs

    cells = runs.run_cells
    monkeypatch.setattr(runs, "run_cells", lambda row, *a, **k: (drawn.append(row.run_id), cells(row, *a, **k))[1])
    async with opened(workspace, (80, 24)) as pilot:
        # Five replay ratios of 400 seeds each.
        assert len(table(pilot).keys) == 6
        assert pilot.app.screen._snapshot.listing.shown == 2_000
        await press(pilot, "enter", "enter", "j", "enter")
        assert len(table(pilot).keys) == 406
        assert len(set(drawn)) <= 2 * 24
        await press(pilot, "G")
        assert len(set(drawn)) <= 4 * 24
