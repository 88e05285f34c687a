"""The Data screen and the audit it opens, driven by keys."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.audit import AuditScreen
from odyssey_tui.screens.data import DataScreen
from odyssey_tui.widgets.keyed_table import KeyedTable
from store.files import write_json
from store.workspace import Workspace
from tests.support.piloting import press, settle


async def open_data(pilot: Pilot) -> DataScreen:
    await settle(pilot)
    await press(pilot, "9")
    await settle(pilot)
    assert isinstance(pilot.app.screen, DataScreen)
    return pilot.app.screen


def text_of(screen: object, selector: str) -> str:
    return str(screen.query_one(selector, Static).render())


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (20, 5)])
async def test_it_survives_every_size_full_and_empty(voyage: Workspace, empty: Workspace, size) -> None:
    for workspace in (voyage, empty):
        async with OdysseyApp(workspace).run_test(size=size) as pilot:
            screen = await open_data(pilot)
            assert screen.has_class("-empty") is (workspace is empty)
            assert not screen._troubles
            if workspace is voyage:
                await press(pilot, "j", "enter")
                await settle(pilot)
                assert isinstance(pilot.app.screen, AuditScreen)
                assert not pilot.app.screen._troubles


async def test_an_empty_workspace_teaches(empty: Workspace) -> None:
    async with OdysseyApp(empty).run_test(size=(80, 24)) as pilot:
        screen = await open_data(pilot)
        assert "launch an experiment" in text_of(screen, "#welcome")
        assert not screen.check_action("open", ())


async def test_the_row_under_the_cursor_is_told_of_below(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_data(pilot)
        assert "no format audit yet" in text_of(screen, "#details")
        await press(pilot, "j")
        details = text_of(screen, "#details")
        assert "installation:docs" in details
        assert "newline 0.00 %" in details
        assert "similarity to the base text" in details
        assert "1 warning" in details or "warnings; Enter shows it" in details


async def test_the_filter_narrows_and_escape_widens(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_data(pilot)
        table = screen.query_one(KeyedTable)
        everything = table.row_count
        await press(pilot, "slash", *"kind=set", "enter")
        await settle(pilot)
        assert table.row_count == everything // 2
        await press(pilot, "slash")
        screen.query_one("#filter", Input).value = "kind=set and name=nothing"
        await settle(pilot)
        assert table.row_count == 0
        assert screen.query_one("#nothing").display
        await press(pilot, "escape")
        await settle(pilot)
        assert table.row_count == everything


async def test_enter_opens_the_audit_and_escape_returns(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_data(pilot)
        await press(pilot, "enter")
        await settle(pilot)
        assert pilot.app.screen is screen
        assert "no format audit yet" in next(toast.message for toast in pilot.app._notifications)
        await press(pilot, "j", "enter")
        await settle(pilot)
        audit = pilot.app.screen
        assert isinstance(audit, AuditScreen)
        assert text_of(audit, "#about").startswith("✗ docs (stripped) → docs")
        classes = text_of(audit, "#classes").splitlines()
        newline = next(line for line in classes if line.startswith("newline"))
        assert newline.count("█") > 0
        assert newline.rstrip().endswith("absent")
        findings = text_of(audit, "#findings")
        assert findings.startswith("✗ serious: the line end is")
        assert "(assumed)" in findings
        assert "→ The training text is stripped" in findings
        assert "\\n" in text_of(audit, "#types")
        await press(pilot, "escape")
        assert pilot.app.screen is screen


async def test_samples_have_no_control_characters(own_voyage: Workspace) -> None:
    from odyssey_tui.services.data import read_audits

    (stored,) = read_audits(own_voyage, "docs")
    train = {**stored.record["train"], "sample": ["a\\x1b[31mred\\x00"]}
    write_json(
        own_voyage.cache / "audits" / "one.json",
        {**stored.record, "audit_id": "another", "eval_set": "docs+space", "train": train, "newlines": "keep"},
    )
    async with OdysseyApp(own_voyage).run_test(size=(120, 40)) as pilot:
        await open_data(pilot)
        await press(pilot, "j", "enter")
        await settle(pilot)
        audit = pilot.app.screen
        assert "docs+space" in text_of(audit, "#about")  # the row is of text that keeps its line ends
        assert "\x1b" not in text_of(audit, "#samples")
        assert "pair 2 of 2" in text_of(audit, "#about")
        await press(pilot, "s")
        assert "pair 1 of 2" in text_of(audit, "#about")
        await press(pilot, "S", "j", "k")
        assert "pair 2 of 2" in text_of(audit, "#about")
