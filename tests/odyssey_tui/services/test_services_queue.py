"""Which runs can be cancelled or retried, and what is said of the others."""

from __future__ import annotations

import pytest

from engine.launch import requests
from odyssey_tui.cli.main import run
from odyssey_tui.services.demo import DemoWatch
from odyssey_tui.services.queue import has_ended, read_queue, split_by_state
from odyssey_tui.services.runs import find_run_ids
from store.errors import OdysseyError
from store.journal import Journal


def test_only_runs_in_a_fitting_state_are_asked(voyage) -> None:
    done, failed, queued = find_run_ids(voyage, ["prepare", "adapt-headers-r0-p5-xs", "adapt-tests-r0-p5-xs"])
    able, others = split_by_state(voyage, "cancel", [done, queued, failed, queued])
    assert able == [queued]
    assert others == [f"{done} is done: nothing to cancel", f"{failed} is failed: nothing to cancel"]
    assert split_by_state(voyage, "retry", [failed]) == ([failed], [])
    with pytest.raises(OdysseyError, match=f"{done} is done: nothing to retry; {queued} is queued: nothing to retry"):
        split_by_state(voyage, "retry", [done, queued])


def test_asking_for_the_impossible_leaves_no_request(own_voyage, capsys) -> None:
    for action in "cancel", "retry":
        assert run([action, "prepare", "-w", str(own_voyage.root)]) == 1
        assert f"is done: nothing to {action}" in capsys.readouterr().err
    assert list((own_voyage.queue / "requests").iterdir()) == []


def test_what_a_held_run_needs_goes_by_the_name_that_the_list_shows(own_voyage) -> None:
    (queued,) = find_run_ids(own_voyage, ["adapt-tests-r0-p5-xs"])
    need = own_voyage.run(queued).spec()["needs"][-1]
    journal = Journal(own_voyage.run(queued).control)
    journal.append("held", reason=f"needs {need}, which is cancelled")
    journal.close()
    (entry,) = [entry for entry in read_queue(own_voyage).entries if entry.run_id == queued]
    assert entry.reason == f"needs {own_voyage.run(need).spec()['name']}, which is cancelled"


def test_a_run_whose_retry_waits_has_not_ended(own_voyage, monkeypatch) -> None:
    started = []
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", started.append)
    (failed,) = find_run_ids(own_voyage, ["adapt-headers-r0-p5-xs"])
    watch, directory = DemoWatch(own_voyage, [failed]), own_voyage.run(failed)
    assert watch.look().finished
    assert has_ended(own_voyage, directory)
    requests.cancel(own_voyage, [failed])
    assert watch.look().finished
    requests.retry(own_voyage, [failed])
    assert not watch.look().finished
    assert not has_ended(own_voyage, directory)
    assert started
