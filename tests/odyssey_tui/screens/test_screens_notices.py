"""What the application says unasked: that an experiment has ended, that a run failed, what logging out would do."""

from __future__ import annotations

import pytest

from odyssey_tui.app import OdysseyApp
from odyssey_tui.services.progress import PulseReader
from odyssey_tui.settings import Settings
from store.workspace import Workspace

WARNING = "the queue stops when you log out"


def end(workspace: Workspace, event: str) -> None:
    """Let whatever of the synthetic workspace waits or runs end."""
    for run_id in workspace.run_ids():
        run = workspace.run(run_id)
        if not run.state().finished:
            attempt = run.latest_attempt() or run.new_attempt()
            with attempt.events.open("a") as journal:
                journal.write(f'{{"seq": 9999, "t": 1800000000.0, "event": "{event}", "reason": "", "seconds": 1.0}}\n')


def test_an_experiment_that_ended_is_told_in_one_look(own_voyage: Workspace) -> None:
    reader = PulseReader(own_voyage)
    assert reader.read().endings == ()
    end(own_voyage, "done")
    (told,) = reader.read().endings
    assert told.endswith("has ended: 24 done, 1 failed")
    assert reader.read().endings == ()
    assert PulseReader(own_voyage).read().endings == ()


@pytest.mark.parametrize(("event", "bell", "rings"), [("done", True, 1), ("failed", True, 2), ("done", False, 0)])
async def test_the_bell_rings_when_something_ends_or_fails(
    own_voyage: Workspace, monkeypatch: pytest.MonkeyPatch, event: str, bell: bool, rings: int
) -> None:
    rung: list[None] = []
    monkeypatch.setattr(OdysseyApp, "bell", lambda app: rung.append(None))
    async with OdysseyApp(own_voyage, Settings(bell=bell)).run_test() as pilot:
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert not rung
        end(own_voyage, event)
        pilot.app.look_now()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        messages = [notification.message for notification in pilot.app._notifications]
        assert any("has ended" in message for message in messages)
        assert any("failed:" in message for message in messages) == (event == "failed")
        assert len(rung) == rings


async def test_what_logging_out_would_do_is_said_once(own_voyage: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PulseReader, "_logout", lambda reader, pid: WARNING)
    async with OdysseyApp(own_voyage).run_test() as pilot:
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        pilot.app.look_now()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert [note.message for note in pilot.app._notifications] == [WARNING]
