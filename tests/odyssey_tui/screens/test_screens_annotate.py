"""Tags, notes and pins by keys: what reaches the journal, the table, the filter and the run's page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot
from textual.widgets import Input, Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.prompt import PromptScreen
from odyssey_tui.screens.run import RunScreen
from odyssey_tui.widgets.long_table import LongTable
from store.workspace import Workspace
from tests.support.piloting import press, settle

RUN = "adapt-docs-r0-p5-s"


@asynccontextmanager
async def on_run(workspace: Workspace, name: str = RUN, size: tuple[int, int] = (160, 40)) -> AsyncIterator[Pilot]:
    """The Runs screen with the cursor on a run."""
    async with OdysseyApp(workspace).run_test(size=size) as pilot:
        await settle(pilot)
        table = pilot.app.screen.query_one(LongTable)
        table.move_cursor(next(i for i, key in enumerate(table.keys) if key.startswith(f"{name}-")))
        await settle(pilot)
        yield pilot


def shown(pilot: Pilot, column: str) -> str:
    """A cell of the run under the cursor."""
    table = pilot.app.screen.query_one(LongTable)
    columns = [shown.key for shown in table.columns]
    return table.cells(table.current)[columns.index(column)].strip()


def journal(workspace: Workspace) -> list[tuple[str, str, int]]:
    """Event, text and number of runs of each note."""
    events = [json.loads(line) for line in workspace.notes.read_text().splitlines()]
    return [(event["event"], event["text"], len(event["runs"])) for event in events]


async def test_tags_are_given_shown_found_and_taken(own_voyage) -> None:
    async with on_run(own_voyage) as pilot:
        await press(pilot, "t", *"paper", "space", *"keep", "enter")
        assert shown(pilot, "tags") == "keep paper"
        await press(pilot, "slash", *"tag:paper", "enter")
        assert pilot.app.screen._snapshot.listing.shown == 1
        await press(pilot, "j", "t")
        assert pilot.app.screen.query_one(Input).value == "keep paper"
        pilot.app.screen.query_one(Input).value = "keep"
        await press(pilot, "enter")
        assert pilot.app.screen._snapshot.listing.shown == 0
        await press(pilot, "escape", "slash", *"tag:keep", "enter", "j")
        assert shown(pilot, "tags") == "keep"
    assert journal(own_voyage) == [("tag", "paper", 1), ("tag", "keep", 1), ("untag", "paper", 1)]


async def test_marked_runs_are_tagged_together_and_keep_tags_of_their_own(own_voyage) -> None:
    async with on_run(own_voyage) as pilot:
        await press(pilot, "t", *"own", "enter", "space", "space", "t")
        assert pilot.app.screen.query_one(Input).value == ""
        await press(pilot, *"both", "enter")
    assert journal(own_voyage) == [("tag", "own", 1), ("tag", "both", 2)]


async def test_escape_leaves_tags_as_they_are(own_voyage) -> None:
    async with on_run(own_voyage) as pilot:
        await press(pilot, "t", *"paper")
        assert isinstance(pilot.app.screen, PromptScreen)
        await press(pilot, "escape")
        assert shown(pilot, "name") == RUN
    assert not own_voyage.notes.exists()


async def test_a_note_is_counted_in_the_table_and_stands_on_the_page(own_voyage) -> None:
    async with on_run(own_voyage) as pilot:
        await press(pilot, "N", *"odd", "space", *"loss", "enter")
        assert shown(pilot, "tags") == "✎1"
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunScreen)
        assert "✎ odd loss" in str(pilot.app.screen.query_one("#about", Static).render())
    assert journal(own_voyage) == [("note", "odd loss", 1)]


async def test_pinned_runs_stay_on_top_until_let_go(own_voyage) -> None:
    async with on_run(own_voyage) as pilot:
        table = pilot.app.screen.query_one(LongTable)
        current = table.current
        await press(pilot, "p")
        assert list(table.keys[:2]) == ["group:★ pinned", current]
        await press(pilot, "o", "b")
        assert list(table.keys[:2]) == ["group:★ pinned", current]
        await press(pilot, "p")
        assert table.keys[0] != "group:★ pinned"
        assert table.current == current
    assert [event for event, _, _ in journal(own_voyage)] == ["pin", "unpin"]


async def test_the_page_of_a_run_has_the_same_keys(own_voyage) -> None:
    async with on_run(own_voyage) as pilot:
        await press(pilot, "enter", "t", *"paper", "enter", "p", "N", *"why", "enter")
        about = str(pilot.app.screen.query_one("#about", Static).render())
        assert "★ pinned #paper" in about
        assert "✎ why" in about
    assert [event for event, _, _ in journal(own_voyage)] == ["tag", "pin", "note"]


async def test_a_heading_stands_for_all_its_runs(own_voyage) -> None:
    async with on_run(own_voyage) as pilot:
        await press(pilot, "g", "j", "t", *"sweep", "enter")
        table = pilot.app.screen.query_one(LongTable)
        (group,) = [
            group for group in pilot.app.screen._snapshot.listing.groups if f"group:{group.name}" == table.current
        ]
    assert journal(own_voyage) == [("tag", "sweep", len(group.rows))]
