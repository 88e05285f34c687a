"""What goes wrong around the application: the workspace vanishes, somebody holds the database."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens import base
from odyssey_tui.services.runs import list_runs
from odyssey_tui.widgets.banner import Banner
from odyssey_tui.widgets.long_table import LongTable
from store import database, notes
from store.workspace import Workspace
from tests.support.piloting import press, settle


@contextmanager
def held(workspace: Workspace) -> Iterator[None]:
    """The database in the hands of another process."""
    with database.lease_path(workspace).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"pid": 4242, "host": "here", "command": "odyssey store rebuild"}, file)
        file.flush()
        yield


async def test_a_vanished_workspace_is_told_and_read_again_once_it_is_back(own_voyage: Workspace) -> None:
    async with OdysseyApp(own_voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        rows = pilot.app.screen.query_one(LongTable).keys
        away = own_voyage.root.rename(own_voyage.root.with_name("away"))
        pilot.app.look_now()
        await press(pilot, "r")
        assert str(own_voyage.root) in pilot.app.screen.query_one(Banner).text
        assert pilot.app.screen.query_one(LongTable).keys == rows
        assert not own_voyage.root.exists()
        away.rename(own_voyage.root)
        pilot.app.look_now()
        await press(pilot, "r")
        assert pilot.app.screen.query_one(Banner).text == ""
        assert pilot.app.screen.query_one(LongTable).keys == rows


async def test_a_database_in_other_hands_is_waited_for_and_keys_go_on(own_voyage: Workspace, monkeypatch) -> None:
    waiting, patience_over = threading.Event(), threading.Event()

    def wait(seconds: float) -> None:
        waiting.set()
        patience_over.wait(10)

    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + 100 * patience_over.is_set(), sleep=wait, time=time.time
    )
    async with OdysseyApp(own_voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        screen, rows = pilot.app.screen, pilot.app.screen.query_one(LongTable)
        before = rows.cursor_row
        monkeypatch.setattr(database, "time", clock)
        monkeypatch.setattr(base, "PATIENCE_S", 0.01)
        notes.pin(own_voyage, own_voyage.run_ids()[:1])
        with held(own_voyage):
            screen.reload()
            await pilot.pause()
            assert waiting.wait(10)
            await pilot.press("j", "j")
            assert rows.cursor_row == before + 2
            while not screen.query_one(Banner).text:
                await pilot.pause(0.01)
            told = screen.query_one(Banner).text
            assert told == "waiting for the database, which is in use by process 4242 on here (odyssey store rebuild)"
            patience_over.set()
            await settle(pilot)
            assert "is in use by process 4242 on here (odyssey store rebuild)" in screen.query_one(Banner).text
        await press(pilot, "r")
        assert screen.query_one(Banner).text == ""


async def test_who_had_the_database_is_named_no_longer_than_that(own_voyage: Workspace, monkeypatch) -> None:
    over, ended = threading.Event(), threading.Event()
    async with OdysseyApp(own_voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        load = screen.load

        def load_slowly(request: object) -> object:
            over.wait(5)
            ended.set()
            return load(request)

        monkeypatch.setattr(base, "PATIENCE_S", 0.01)
        monkeypatch.setattr(screen, "load", load_slowly)
        with held(own_voyage):
            screen.reload()
            while not screen.query_one(Banner).text:
                await pilot.pause(0.01)
        while screen.query_one(Banner).text:
            await pilot.pause(0.01)
        assert not ended.is_set()
        over.set()
        await settle(pilot)


def test_this_process_is_no_other_that_has_the_database(own_voyage: Workspace) -> None:
    with database.lease(own_voyage, write=True):
        assert str(os.getpid()) in database.find_holder(own_voyage)
        assert database.find_holder(own_voyage, own=False) == ""
    with held(own_voyage):
        assert "4242" in database.find_holder(own_voyage, own=False)


async def test_what_was_seen_last_is_there_while_the_database_is_in_other_hands(
    own_voyage: Workspace, monkeypatch
) -> None:
    rows = list_runs(own_voyage)
    let_go = threading.Event()
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: let_go.wait(10), time=time.time)
    monkeypatch.setattr(database, "time", clock)
    monkeypatch.setattr(base, "PATIENCE_S", 0.01)
    notes.tag(own_voyage, [rows[0].run_id], "paper")
    with ExitStack() as others:
        others.enter_context(held(own_voyage))
        async with OdysseyApp(own_voyage).run_test(size=(120, 40)) as pilot:
            screen = pilot.app.screen
            while not screen.query_one(Banner).text:
                await pilot.pause(0.01)
            assert "in use by process 4242" in screen.query_one(Banner).text
            assert screen._snapshot.recalled
            assert screen.query_one(LongTable).keys
            others.close()
            let_go.set()
            await settle(pilot)
            assert screen.query_one(Banner).text == ""
            listed = [row for group in screen._snapshot.listing.groups for row in group.rows]
            assert {row.run_id for row in listed if row.tags} == {rows[0].run_id}
            assert len(listed) == len(rows)


async def test_what_was_seen_last_is_not_shown_for_what_passes_a_filter(own_voyage: Workspace) -> None:
    list_runs(own_voyage)
    async with OdysseyApp(own_voyage).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        screen._snapshot = None  # as after a first read that failed
        listing = screen.load(screen.request()._replace(filter="kind=pretrain")).listing
    assert {row.kind for group in listing.groups for row in group.rows} == {"pretrain"}
