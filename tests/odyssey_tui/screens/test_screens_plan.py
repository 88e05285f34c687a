"""The Plan screen, driven by keys, on laws whose parameters are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.confirm import ConfirmScreen
from odyssey_tui.screens.plan import PlanScreen
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.services.launch import compose_whole, launch
from odyssey_tui.widgets.plan_heat import PlanHeat
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.plans import measured, plan_from
from tests.support.tiny import write_experiment


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is queued stays queued."""
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)


async def open_plan(pilot: Pilot) -> PlanScreen:
    await settle(pilot)
    await press(pilot, "8")
    assert isinstance(pilot.app.screen, PlanScreen)
    return pilot.app.screen


def text_of(screen: PlanScreen, selector: str) -> str:
    return str(screen.query_one(selector, Static).render())


def glyphs(screen: PlanScreen) -> list[str]:
    heat = screen.query_one(PlanHeat)
    return [text for row in heat.table.cells for cell in row for text in cell.texts[-1:]]


async def test_without_fits_it_says_what_to_do(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        assert screen.has_class("-empty")
        assert "odyssey fit" in text_of(screen, "#empty")
        assert "3  launch an experiment" in text_of(screen, "#empty")
        await press(pilot, "enter", "p", "x", "a", "E")
        assert pilot.app.screen is screen


async def test_laws_that_cannot_serve_say_why(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        assert screen.has_class("-empty")
        assert "exact at D = 0" in text_of(screen, "#empty")
        assert "Fit replay_odds, zero_shot or forgetting_pinned too" in text_of(screen, "#empty")
        assert not screen._troubles


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (120, 40)])
async def test_stored_laws_fill_it(fitted: Workspace, size: tuple[int, int]) -> None:
    async with OdysseyApp(fitted).run_test(size=size) as pilot:
        screen = await open_plan(pilot)
        assert not screen._troubles
        assert screen.query_one("#forgetting", Input).value == "0.05"
        assert screen.query_one("#size", Input).value == "s"
        assert screen.query_one("#ptpp", Input).value == "45"
        assert "The limit on forgetting cannot be met" in text_of(screen, "#answer")


async def test_the_cursor_starts_on_the_answer_and_reads_out_cells(empty: Workspace, monkeypatch) -> None:
    plan_from(monkeypatch)
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        heat = screen.query_one(PlanHeat)
        assert heat.has_focus
        assert (heat.row, heat.column) == screen._found.choice
        assert glyphs(screen).count(" ★") == 1
        before = text_of(screen, "#cell")
        await press(pilot, "h", "k")
        assert (heat.row, heat.column) != screen._found.choice
        assert text_of(screen, "#cell") != before
        cell = screen._found.grid.cell(heat.row, heat.column)
        assert f"ρ {cell.replay_ratio:.4g}, ATPP {cell.atpp:.3g}" in text_of(screen, "#cell")
        assert f"{cell.target_loss:.3f}" in text_of(screen, "#cell")
        await press(pilot, "a")
        assert (heat.row, heat.column) == screen._found.choice


async def test_limits_are_edited_in_place(empty: Workspace, monkeypatch) -> None:
    plan_from(monkeypatch)
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        await press(pilot, "t")
        assert screen.focused.id == "forgetting"
        assert "largest rise of the base loss" in text_of(screen, "#heading")
        screen.query_one("#forgetting", Input).value = "18%"
        await press(pilot, "tab", *"2.75")
        assert screen.focused.id == "target"
        await press(pilot, "enter")
        assert screen.query_one(PlanHeat).has_focus
        answer = screen._found.answer
        assert answer.limits == ("forgetting ≤ 0.18 of the base loss", "target loss ≤ 2.75 nats")
        assert answer.goal == "cheapest"
        assert answer.choice.forgetting <= 0.18 * 2.8
        assert text_of(screen, "#heading").startswith(f"Cheapest: ρ {answer.choice.replay_ratio:.3g}")
        screen.query_one("#target", Input).value = "-1.2"
        screen.query_one("#flops", Input).value = "1T"
        await settle(pilot)
        assert screen._found.asked.target_gain == 1.2
        assert screen._found.asked.limits.flops == 1e12


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("forgetting", "x", "forget must be a number, not 'x' · For example"),
        ("flops", "-1", "compute must be at least 0"),
        ("ptpp", "0", "PTPP must be above 0"),
        ("size", "huge", "There is no size 'huge'. · Sizes: xs, s"),
    ],
)
async def test_what_cannot_be_read_is_told_in_place(empty: Workspace, monkeypatch, field, typed, words) -> None:
    plan_from(monkeypatch)
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        before = screen.query_one(f"#{field}", Input).value
        screen.query_one(f"#{field}", Input).value = typed
        await settle(pilot)
        assert words in text_of(screen, "#heading")
        assert screen.query_one(f"#field-{field}").has_class("-refused") == (field != "size")
        assert screen.check_action("queue", ()) is False
        screen.query_one(f"#{field}", Input).value = before
        await settle(pilot)
        assert text_of(screen, "#heading").startswith("Best target loss: ρ")


async def test_limits_that_nothing_meets_say_which_binds(empty: Workspace, monkeypatch) -> None:
    plan_from(monkeypatch)
    async with OdysseyApp(empty).run_test(size=(120, 40)) as pilot:
        screen = await open_plan(pilot)
        screen.query_one("#target", Input).value = "1.5"
        await settle(pilot)
        assert "Nothing in the grid meets" in text_of(screen, "#heading")
        assert "target loss cannot be met on its own" in text_of(screen, "#answer")
        assert not any("★" in text for text in glyphs(screen))


async def test_problems_and_views_go_round(empty: Workspace, monkeypatch) -> None:
    plan_from(monkeypatch)
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        screen.query_one("#forgetting", Input).value = "0.5"
        await press(pilot, "p")
        assert "say how much there is" in text_of(screen, "#heading")
        screen.query_one("#tokens", Input).value = "200k"
        await settle(pilot)
        choice = screen._found.answer.choice
        assert choice.atpp * 1e5 * (1 - choice.replay_ratio) == pytest.approx(2e5)
        await press(pilot, "p")
        assert screen._found.answer.goal == "pareto"
        assert any("◆" in text for text in glyphs(screen))
        titles = []
        for _ in range(4):
            titles.append(text_of(screen, "#heading").splitlines()[1].partition(" · ")[0])
            await press(pilot, "x")
        assert len(set(titles)) == 4
        assert "forgetting" in titles


async def test_without_colour_shades_carry_the_values(empty: Workspace, monkeypatch) -> None:
    plan_from(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        screen.query_one("#forgetting", Input).value = "0.4"
        await settle(pilot)
        shades = {text[0] for text in glyphs(screen)}
        assert len(shades) >= 4
        assert {"█", " "} <= shades


async def test_another_domain_is_read(empty: Workspace, monkeypatch) -> None:
    plan_from(monkeypatch)
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        asked = []
        monkeypatch.setattr(
            "odyssey_tui.services.plan_basis.read_source", lambda _, domain=None: asked.append(domain) or None
        )
        await press(pilot, "d")
        assert isinstance(pilot.app.screen, ChooseScreen)
        await press(pilot, "j", "enter")
        assert set(asked) == {"poems"}
        assert screen.has_class("-empty")


async def test_the_map_is_exported(empty: Workspace, monkeypatch, tmp_path: Path) -> None:
    plan_from(monkeypatch)
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_plan(pilot)
        await press(pilot, "E")
        pilot.app.screen.query_one(Input).value = "map.json"
        await press(pilot, "enter")
        written = json.loads((tmp_path / "map.json").read_text())
        assert len(written["cells"]) == screen._found.grid.feasible.size
        assert written["choice"]["atpp"] == screen._found.answer.choice.atpp


class TestQueue:
    @pytest.fixture
    def tiny(self, empty: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
        """An experiment was launched, and laws of it are there; states at ρ = 0 and ATPP 0.5 and 1 were queued."""
        launch(empty, compose_whole(empty, write_experiment(tmp_path), ()))
        points = measured()
        plan_from(
            monkeypatch,
            domain="poems",
            experiment="tiny",
            sizes=((1e5, "xs"),),
            measured=replace(points, ptpp=points.ptpp * 0 + 2.0),
            states=((1e5, 2.0),),
        )
        return empty

    async def test_enter_queues_the_cell_after_asking(self, tiny: Workspace) -> None:
        before = set(tiny.run_ids())
        async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
            screen = await open_plan(pilot)
            heat = screen.query_one(PlanHeat)
            heat.move(*screen._found.find(0.25, 2.0))
            await press(pilot, "enter")
            assert isinstance(pilot.app.screen, ConfirmScreen)
            text = pilot.app.screen._text
            assert "adapt-poems-r0.25-p2-xs" in text
            assert "tokens" in text
            assert "FLOP" in text
            await press(pilot, "enter")
            assert set(tiny.run_ids()) == before
            await press(pilot, "y")
            (added,) = set(tiny.run_ids()) - before
            spec = json.loads(tiny.run(added).spec_path.read_text())
            assert spec["job"]["atpp"] == [2.0]
            assert spec["job"]["replay_ratio"] == 0.25
            assert pilot.app.screen is screen
            await press(pilot, "enter")
            assert isinstance(pilot.app.screen, RunScreen)
            assert set(tiny.run_ids()) == before | {added}

    async def test_a_trajectory_through_the_cell_is_opened(self, tiny: Workspace) -> None:
        before = set(tiny.run_ids())
        async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
            screen = await open_plan(pilot)
            screen.query_one(PlanHeat).move(*screen._found.find(0.0, 1.0))
            await press(pilot, "enter")
            assert isinstance(pilot.app.screen, RunScreen)
            assert set(tiny.run_ids()) == before

    async def test_the_next_run_is_offered_and_queued(self, tiny: Workspace) -> None:
        before = set(tiny.run_ids())
        async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
            screen = await open_plan(pilot)
            await press(pilot, "n")
            assert isinstance(pilot.app.screen, ChooseScreen)
            assert "by fall of variance per PFLOP" in pilot.app.screen._title
            await press(pilot, "enter")
            assert isinstance(pilot.app.screen, ConfirmScreen)
            await press(pilot, "y")
            (added,) = set(tiny.run_ids()) - before
            assert added.startswith("adapt-poems-r")
            assert pilot.app.screen is screen

    async def test_a_model_that_the_experiment_lacks_is_refused(self, tiny: Workspace) -> None:
        async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
            screen = await open_plan(pilot)
            screen.query_one("#size", Input).value = "8.1B"
            await settle(pilot)
            await press(pilot, "enter")
            await press(pilot, "enter")
            (toast, *_) = [toast.message for toast in pilot.app._notifications]
            assert "tiny has no model '8.1G' to adapt · Its sizes are xs" in toast
            assert pilot.app.screen is screen
