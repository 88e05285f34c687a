"""What is remembered of runs is what their files say, whoever changes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from odyssey_tui.services.states import StateReader
from store.run_dir import RunDir
from store.workspace import Workspace
from tests.support.synthetic_queue import queue_runs


@pytest.fixture
def line(tmp_path: Path) -> Workspace:
    return queue_runs(tmp_path / "line")


def append(journal: Path, **event: object) -> None:
    with journal.open("a") as file:
        file.write(json.dumps({"seq": 9, "t": 1.0, **event}) + "\n")


def test_what_rests_is_not_read_again(line: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    states, read, original = StateReader(line), [], RunDir.state
    monkeypatch.setattr(RunDir, "state", lambda run: read.append(run.run_id) or original(run))
    first = states.read()
    assert len(read) == len(first) == len(line.run_ids())
    read.clear()
    assert states.read() == first
    assert read == ["run-0"]


def test_a_word_of_the_scheduler_is_seen(line: Workspace) -> None:
    states = StateReader(line)
    assert states.state("a-0").state == "queued"
    append(line.run("a-0").control, event="cancelled", reason="why")
    assert (states.state("a-0").state, states.state("a-0").reason) == ("cancelled", "why")


def test_an_attempt_that_the_scheduler_said_nothing_of_is_seen(line: Workspace) -> None:
    states = StateReader(line)
    assert states.state("blocked-0").state == "held"
    attempt = line.run("blocked-0").new_attempt()
    assert states.state("blocked-0").state == "starting"
    append(attempt.events, event="done")
    assert states.state("blocked-0").state == "done"


def test_a_run_whose_journal_can_be_read_again_is_seen(line: Workspace) -> None:
    states = StateReader(line)
    attempt = line.run("blocked-0").new_attempt()
    append(attempt.events, event="done")
    kept = attempt.events.rename(line.root / "kept")
    attempt.events.mkdir()
    assert states.state("blocked-0").reason.startswith("cannot read")
    attempt.events.rmdir()
    kept.rename(attempt.events)
    assert states.state("blocked-0").state == "done"


def test_a_lost_run_that_turns_out_to_be_alive_is_seen(line: Workspace) -> None:
    states = StateReader(line)
    append(line.run("run-0").control, event="lost", attempt=1)
    assert states.state("run-0").state == "lost"
    append(line.run("run-0").latest_attempt().events, event="done")
    assert states.state("run-0").state == "done"


def test_a_run_deleted_and_queued_anew_is_another(line: Workspace) -> None:
    states, run = StateReader(line), line.run("bad-0")
    assert (states.state("bad-0").state, states.experiment("bad-0")) == ("failed", "b")
    spec = json.loads(run.spec_path.read_text())
    kept = run.path.with_name(".kept")  # so that its files cannot be given the same numbers again
    run.path.rename(kept)
    (run.path / "attempts").mkdir(parents=True)
    run.spec_path.write_text(json.dumps({**spec, "experiment": "other"}))
    append(run.control, event="queued")
    assert (states.state("bad-0").state, states.experiment("bad-0")) == ("queued", "other")
    shutil.rmtree(kept)


def test_a_deleted_run_is_forgotten(line: Workspace) -> None:
    states = StateReader(line)
    states.read()
    shutil.rmtree(line.run("a-0").path)
    assert "a-0" not in states.read()


def test_journals_of_ended_runs_that_the_database_knows_stay_closed(
    voyage: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {run_id: voyage.run(run_id).state().state for run_id in voyage.run_ids()}
    read, original = [], RunDir.state
    monkeypatch.setattr(RunDir, "state", lambda run: read.append(run.run_id) or original(run))
    assert {run_id: state.state for run_id, state in StateReader(voyage).read().items()} == plain
    assert set(read) == {run_id for run_id, state in plain.items() if state not in ("done", "cancelled")}
    assert any(state == "failed" for state in plain.values())
