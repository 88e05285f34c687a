"""The Launch screen: composing, refusing, asking, queueing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.confirm import ConfirmScreen
from odyssey_tui.screens.launch import LaunchScreen
from odyssey_tui.screens.runs import RunsScreen
from odyssey_tui.screens.starting import StartScreen
from odyssey_tui.screens.text import TextScreen
from odyssey_tui.services.launch import compose_whole, launch
from odyssey_tui.services.starts import find_config
from odyssey_tui.widgets.audit_line import AuditLine
from odyssey_tui.widgets.field_editor import FieldEditor
from odyssey_tui.widgets.field_table import FieldTable
from odyssey_tui.widgets.long_table import LongTable
from store.errors import DataError
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.tiny import write_experiment


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch) -> None:
    """What is queued stays queued; laws are judged at once."""
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)
    monkeypatch.setattr("odyssey_tui.widgets.plan_details.QUIET_S", 0.0)


@pytest.fixture
def tiny(empty: Workspace, tmp_path: Path) -> Workspace:
    """A workspace in which the tiny experiment was launched."""
    launch(empty, compose_whole(empty, write_experiment(tmp_path), ()))
    return empty


async def open_launch(pilot: Pilot) -> LaunchScreen:
    await settle(pilot)
    await press(pilot, "3")
    await settle(pilot)
    assert isinstance(pilot.app.screen, LaunchScreen)
    return pilot.app.screen


def verdict(screen: LaunchScreen) -> str:
    return str(screen.query_one("#verdict", Static).render())


def told(pilot: Pilot) -> list[str]:
    return [toast.message for toast in pilot.app._notifications]


def cells(screen: LaunchScreen) -> int:
    """How many adaptations launching would start."""
    return sum(run.kind == "adapt" for run in screen._snapshot.composition.new)


def go_to(screen: LaunchScreen, *path: str | int) -> None:
    table = screen.query_one(FieldTable)
    table.find(path)
    assert table.field.path == path


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_form_is_prefilled_and_expanded(empty, size) -> None:
    async with OdysseyApp(empty).run_test(size=size) as pilot:
        screen = await open_launch(pilot)
        assert screen.query_one("#domain", Input).value == "tests"
        assert screen.focused.id == "replay_ratio"
        assert cells(screen) == 4 * 3 * 3 + 7 + 1
        assert verdict(screen).startswith("66 new runs")
        table, planned = screen.query_one(FieldTable), screen.query_one("#planned")
        assert planned.region.height > 4
        assert (table.region.width > 0) == (size[0] > 100), "side by side where there is room"
        if size[0] > 100:
            assert table.region.right <= planned.region.x


@pytest.mark.parametrize("size", [(20, 5), (41, 9)])
async def test_the_smallest_terminals_do_no_harm(tiny, size) -> None:
    async with OdysseyApp(tiny).run_test(size=size) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, *".5", "enter", "f", "j", "enter", "escape", "s", "escape", "L", "n")
        assert pilot.app.screen is screen
        assert cells(screen) == 1


async def test_a_sweep_over_replay_ratios_takes_few_keys_from_a_demo_that_ran(empty: Workspace) -> None:
    launch(empty, compose_whole(empty, find_config("demo"), ()))
    before = set(empty.run_ids())
    keys = ["3", *".3,.4", "enter", "L", "y"]
    assert len(keys) == 9, "as docs/launch.md says"
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key in keys:
            await press(pilot, key)
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunsScreen)
        created = set(empty.run_ids()) - before
        assert len(created) == 2 * 3 * 3, "adaptations alone: bases and zero-shot scores are there"
        assert all("-r0.3-" in name or "-r0.4-" in name for name in created)
        assert pilot.app.screen.query_one(LongTable).current in created
        assert created <= {path.stem for path in empty.tickets.glob("*.json")}
        assert len(list(empty.experiments.glob("*.yaml"))) == 2


async def test_typed_while_it_expands_l_still_asks(tiny: Workspace) -> None:
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await pilot.press(*".3", "enter", "L")
        await settle(pilot)
        await settle(pilot)
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert cells(screen) == 1
        assert pilot.app.screen._text.startswith(verdict(screen))


async def test_the_trigger_key_does_not_confirm(tiny: Workspace) -> None:
    before = tiny.run_ids()
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        await open_launch(pilot)
        await press(pilot, *".3", "enter", "L", "L")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await press(pilot, "escape")
        assert tiny.run_ids() == before


async def test_a_refused_value_is_told_at_its_field_and_kept(tiny: Workspace) -> None:
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, *"1.5")
        field = screen.query_one("#field-replay_ratio")
        assert field.has_class("-refused")
        assert str(field.query_one(".trouble", Static).render()) == "is 1.5; it must be at most 1"
        assert verdict(screen).startswith("adapt.0.replay_ratio is 1.5")
        await press(pilot, "enter", "L")
        assert isinstance(pilot.app.screen, LaunchScreen)
        assert told(pilot) == ["correct the form first"]
        screen.query_one("#domain", Input).value = "poem"
        await settle(pilot)
        assert screen.query_one("#replay_ratio", Input).value == "1.5"
        screen.query_one("#replay_ratio", Input).value = "0.5"
        await settle(pilot)
        assert not field.has_class("-refused")
        assert "Did you mean poems?" in verdict(screen)
        screen.query_one("#domain", Input).value = "poems"
        await settle(pilot)
        assert cells(screen) == 1


async def test_what_exists_is_not_started_again(tiny: Workspace) -> None:
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        assert verdict(screen).startswith("0 new runs, 4 there already")
        await press(pilot, "enter", "L")
        assert isinstance(pilot.app.screen, LaunchScreen)
        assert told(pilot) == ["every one of these runs exists already"]
        await press(pilot, "g", "enter")
        assert pilot.app.screen is not screen, "Enter opens a run that exists"


async def test_any_key_is_edited_in_place(tiny: Workspace) -> None:
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "escape", "f")
        go_to(screen, "adapt")
        await press(pilot, "enter")
        go_to(screen, "adapt", 0)
        await press(pilot, "enter")
        go_to(screen, "adapt", 0, "variant")
        await press(pilot, "enter", *"a b")
        editor = screen.query_one(FieldEditor)
        assert editor.path == ("adapt", 0, "variant")
        assert "cannot be 'a b'" in str(screen.query_one("#value-trouble", Static).render())
        await press(pilot, "backspace", "backspace", "enter")
        assert screen.draft.changes == ("adapt.0.variant=a",)
        assert [run.name for run in screen._snapshot.composition.new] == ["adapt-poems-r0-p2-xs-a"]
        go_to(screen, "adapt", 0, "share")
        await press(pilot, "enter")
        assert screen.draft.value(("adapt", 0, "share")) is False, "Enter flips what is true or false"
        assert cells(screen) == 2
        await press(pilot, "u")
        assert screen.draft.changes == ("adapt.0.variant=a",)
        await press(pilot, "u")
        assert screen.draft.changes == ()


async def test_escape_takes_back_what_was_typed_and_leaves_one_step(tiny: Workspace) -> None:
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "escape", "slash", *"max_tokens", "enter", "enter", *"77")
        assert screen.draft.value(("evaluate", "max_tokens")) == 77
        await press(pilot, "escape")
        assert screen.draft.changes == ()
        assert screen.query_one(FieldTable).field.path == ("evaluate", "max_tokens")
        await press(pilot, "escape")
        assert screen._sought == ""
        assert screen.query_one(FieldTable).field.path == ("evaluate", "max_tokens"), "its part is unfolded"
        await press(pilot, "escape")
        assert screen.focused.id == "planned"
        await press(pilot, "u")
        assert told(pilot) == ["nothing to undo"]


async def test_items_and_names_are_added_and_taken_out(tiny: Workspace) -> None:
    async with OdysseyApp(tiny).run_test(size=(120, 40)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "escape", "f")
        go_to(screen, "adapt")
        await press(pilot, "plus")
        assert screen.draft.blocks == [screen.draft.blocks[0]] * 2, "a block begins as a copy"
        await press(pilot, "b")
        assert screen.block == screen.draft.block == 1
        screen.query_one("#replay_ratio", Input).value = "0.5"
        await settle(pilot)
        assert (
            screen.draft.changes == ("adapt.1={domain: poems, replay_ratio: 0.5, atpp: [0.5, 1]}",)
            or cells(screen) == 1
        )
        go_to(screen, "adapt", 1)
        await press(pilot, "x")
        assert screen.draft.changes == ()
        assert screen.draft.block == 0
        go_to(screen, "corpora")
        await press(pilot, "plus", *"plays", "enter")
        go_to(screen, "corpora", "plays")
        assert "is missing" in verdict(screen)
        await press(pilot, "y", *"{source: poems.jsonl}", "enter")
        assert screen.draft.value(("corpora", "plays")) == {"source": "poems.jsonl"}
        go_to(screen, "name")
        await press(pilot, "x")
        assert told(pilot)[-1] == "an experiment needs name"


async def test_the_whole_experiment_or_one_block(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "escape", "o")
        assert screen.draft.block == 0
        assert cells(screen) == 36
        await press(pilot, "b")
        assert screen.query_one("#domain", Input).value.startswith("library")
        assert cells(screen) == 7
        await press(pilot, "o")
        assert cells(screen) == 44


async def test_another_start_is_chosen_by_typing(tiny: Workspace) -> None:
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, *".25", "escape", "s")
        assert isinstance(pilot.app.screen, StartScreen)
        await press(pilot, *"demo", "enter")
        assert screen.draft.title == "demo (ready)"
        assert screen.query_one("#replay_ratio", Input).value == "0, 0.1, 0.25, 0.5"
        await press(pilot, "escape", "s", *"adapt-poems", "enter")
        assert screen.draft.source.startswith("adapt-poems-r0-p2-xs-")
        assert verdict(screen).startswith("0 new runs")


async def test_a_file_is_a_start_and_a_damaged_one_is_told(tiny: Workspace, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: [\n")
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, *".25", "escape", "s")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "bad.yaml")
        await press(pilot, "enter")
        assert "not valid YAML" in " ".join(screen._troubles.values())
        assert screen.draft.changes == ("adapt.0.replay_ratio=0.25",), "what was edited stays"
        await press(pilot, "s")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "tiny.yaml")
        await press(pilot, "enter")
        assert screen.draft.source == str(tmp_path / "tiny.yaml")
        assert screen._troubles == {}
        await press(pilot, "u")
        assert screen.draft.changes == ("adapt.0.replay_ratio=0.25",), "and is one step back from the next start"
        assert screen.query_one("#replay_ratio", Input).value == "0.25"


async def test_the_editor_gives_back_any_text(tiny: Workspace, monkeypatch) -> None:
    seen = []

    def edit(text: str) -> str:
        seen.append(text)
        if len(seen) == 1:
            return "name: [broken"
        experiment = yaml.safe_load(seen[0])
        experiment["adapt"][0]["replay_ratio"] = 0.5
        return yaml.safe_dump(experiment)

    monkeypatch.setattr("odyssey_tui.services.text_editor.edit_text", edit)
    monkeypatch.setattr("textual.app.App.suspend", lambda self: contextlib.nullcontext())
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "ctrl+o")
        assert "not valid YAML" in told(pilot)[0]
        assert cells(screen) == 0, "the last good experiment stays"
        await press(pilot, "ctrl+o")
        assert seen[1] == "name: [broken", "what could not be read is there again"
        assert screen.query_one("#replay_ratio", Input).value == "0.5"
        assert cells(screen) == 1


async def test_it_is_written_into_a_file_and_named_by_a_command(tiny: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, *".25", "escape", "c")
        changes = "--set adapt.0.replay_ratio=0.25 --block 0"
        assert pilot.app.clipboard == f"odyssey launch {screen.draft.source} --workspace {tiny.root} {changes}"
        await press(pilot, "w")
        pilot.app.screen.query_one(Input).value = "mine"
        await press(pilot, "enter")
        assert "replay_ratio: 0.25" in (tmp_path / "mine.yaml").read_text()
        assert screen.draft.command() == "odyssey launch mine.yaml --block 0"
        screen.query_one("#seeds", Input).value = "0, 1"
        await press(pilot, "w", "enter")
        assert isinstance(pilot.app.screen, ConfirmScreen), "a file that is there is asked about"
        assert "seeds" not in (tmp_path / "mine.yaml").read_text()
        await press(pilot, "y")
        assert "seeds: [0, 1]" in (tmp_path / "mine.yaml").read_text()
        await press(pilot, "u")
        assert screen.draft.changes == ("seeds=[0, 1]",)
        assert cells(screen) == 2, "a seed more than was asked first"


async def test_every_action_is_in_the_palette(tiny: Workspace) -> None:
    from odyssey_tui.keymap import actions

    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "escape")
        offered = {command.title for command in pilot.app.get_system_commands(screen)}
        assert {action.label for action in actions("launch")} <= offered


async def test_details_are_of_the_run_under_the_cursor_and_of_the_grid(empty: Workspace, monkeypatch) -> None:
    judged = []

    def judge(plan, **_: bool) -> tuple[()]:
        judged.append({run.job.kind for run in plan.runs})
        return ()

    monkeypatch.setattr("odyssey_tui.services.design.judge_plan", judge)
    monkeypatch.setattr("odyssey_tui.services.design.tell_designs", lambda *_, **__: ["laws: the grid is silent"])
    launch(empty, compose_whole(empty, find_config("demo"), ()))
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        assert screen.draft.block == 0
        await press(pilot, *".3", "enter", "v")
        shown = pilot.app.screen
        assert isinstance(shown, TextScreen)
        assert shown.text.startswith(screen._snapshot.composition.new[0].name)
        assert "replay in whole sequences: 0.3 as " in shown.text
        assert shown.text.endswith("laws: the grid is silent")
        assert "fit" in judged[-1], "laws are those of the whole experiment, though one block is launched"
        await press(pilot, "escape")
        assert pilot.app.screen is screen


async def test_a_calibration_times_what_is_new(tiny: Workspace, monkeypatch) -> None:
    monkeypatch.setattr("odyssey_tui.services.timing.CALIBRATION_S", 0.01)
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, *".25", "escape", "T")
        await settle(pilot)
        (new,) = screen._snapshot.composition.new
        assert new.seconds > 0
        assert screen.check_action("calibrate", ())


async def test_the_format_audit_is_made_in_the_background_and_stays(empty: Workspace, tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    path.write_text(path.read_text().replace("domain: poems,", "domain: poems, newlines: strip,"))
    launch(empty, compose_whole(empty, path, ()))
    async with OdysseyApp(empty).run_test(size=(120, 40)) as pilot:
        screen = await open_launch(pilot)
        audit = screen.query_one(AuditLine)
        assert "not audited yet · a: audit the texts" in str(audit.render())
        await press(pilot, "escape", "a")
        await settle(pilot)
        told = str(audit.render())
        assert told.startswith("format audit: 3 pairs of texts, 1 serious, 1 caution · ✗ poems (stripped) → poems: the")
        assert audit.has_class("-serious")
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        assert "1 serious" in str(screen.query_one(AuditLine).render())


async def test_an_audit_that_fails_is_told_and_can_be_asked_for_again(tiny: Workspace, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DataError("the text is gone", "Bring it back.")

    monkeypatch.setattr("odyssey_tui.services.audit.ask", refuse)
    async with OdysseyApp(tiny).run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await press(pilot, "escape", "a")
        await settle(pilot)
        assert told(pilot) == ["the text is gone · Bring it back."]
        assert screen.check_action("audit", ())
