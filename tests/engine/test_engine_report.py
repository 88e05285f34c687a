"""A run's journal: progress that is rate-limited and honest, a heartbeat, a request to stop."""

from __future__ import annotations

import threading

import pytest

from engine.report import Report, StopRequested
from store.journal import read_events
from store.run_dir import create_run
from store.workspace import Workspace


@pytest.fixture
def attempt(tmp_path):
    return create_run(Workspace.create(tmp_path / "workspace"), {"run_id": "only"}).new_attempt()


def events_of(attempt, name):
    return [event for event in read_events(attempt.events)[0] if event["event"] == name]


def test_progress_is_rate_limited_but_phases_and_the_end_are_told(attempt):
    with Report(attempt) as report:
        report.running(1000, "tokens")
        for done in range(1001):
            report.progress(done, "training" if done < 600 else "evaluating")
    told = events_of(attempt, "progress")
    assert len(told) < 20
    assert [event["phase"] for event in told if event["done"] in (0, 600, 1000)] == [
        "training",
        "evaluating",
        "evaluating",
    ]
    assert told[-1]["done"] == told[-1]["total"] == 1000
    assert told[-1]["eta_s"] == 0


def test_a_day_of_progress_is_a_few_megabytes(attempt, monkeypatch):
    clock = iter(range(86_401))
    with Report(attempt, heartbeat_s=1000) as report:
        monkeypatch.setattr("engine.report.time.monotonic", lambda: float(next(clock)))
        report.running(100_000, "tokens")
        for done in range(86_400):
            report.progress(done, "training")
        monkeypatch.undo()
    told = events_of(attempt, "progress")
    assert [event["done"] for event in told[:5]] == [0, 1, 2, 3, 4]
    assert len(told) < 20_000
    assert attempt.events.stat().st_size < 4_000_000


def test_eta_counts_only_what_this_attempt_did(attempt, monkeypatch):
    clock = iter([0.0, 10.0])
    with Report(attempt) as report:
        monkeypatch.setattr("engine.report.time.monotonic", lambda: next(clock))
        report.running(100, "tokens", done=50)
        report.progress(60)
        monkeypatch.undo()
    assert events_of(attempt, "progress")[0]["eta_s"] == 40.0


def test_heartbeat_beats_until_closed(attempt):
    beaten = threading.Event()
    with Report(attempt, heartbeat_s=0.01):
        deadline = 500
        while not events_of(attempt, "heartbeat") and deadline:
            beaten.wait(0.01)
            deadline -= 1
    beats = len(events_of(attempt, "heartbeat"))
    assert beats >= 1
    beaten.wait(0.05)
    assert len(events_of(attempt, "heartbeat")) == beats


def test_one_journal_for_many_threads(attempt):
    with Report(attempt) as report:
        threads = [
            threading.Thread(target=lambda: [report.metric(i, i, loss=1.0) for i in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sequence = [event["seq"] for event in read_events(attempt.events)[0]]
    assert sequence == list(range(200))


def test_first_reason_to_stop_stands(attempt):
    with Report(attempt) as report:
        assert not report.should_stop()
        report.check_stop()
        report.request_stop("cancelled")
        report.request_stop("again")
        assert report.stop_reason == "cancelled"
        with pytest.raises(StopRequested, match="cancelled"):
            report.check_stop()
