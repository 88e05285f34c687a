"""The state of a run from its two journals, whatever order they are read in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.journal import Journal
from store.run_dir import RunDir, create_run
from store.run_state import RunFold
from store.workspace import Workspace


def _events(*names: str | dict[str, Any]) -> list[dict[str, Any]]:
    full = [{"event": name} if isinstance(name, str) else name for name in names]
    return [{"seq": seq, "t": 10.0 + seq, **event} for seq, event in enumerate(full)]


QUEUED = "queued"
FIRST = {"event": "assigned", "attempt": 1, "worker": "w1"}
SECOND = {"event": "assigned", "attempt": 2, "worker": "w1"}
LOST = {"event": "lost", "attempt": 1, "reason": "worker vanished"}
RETRIED = {"event": "retried", "attempt": 2}
FAILED = {"event": "failed", "reason": "loss is NaN", "hint": "lower lr"}
RUNNING = ("starting", {"event": "running", "total": 10, "unit": "tokens"})

CASES = {
    "queued": ([QUEUED], [], "queued"),
    "held": ([QUEUED, {"event": "held", "reason": "a needed run failed"}], [], "held"),
    "released": ([QUEUED, "held", QUEUED], [], "queued"),
    "assigned": ([QUEUED, FIRST], [], "starting"),
    "running": ([QUEUED, FIRST], [RUNNING], "running"),
    "stopping": ([QUEUED, FIRST], [(*RUNNING, "stopping")], "stopping"),
    "done": ([QUEUED, FIRST], [(*RUNNING, "done")], "done"),
    "done wins over a late lost": ([QUEUED, FIRST, LOST], [(*RUNNING, "done")], "done"),
    "lost": ([QUEUED, FIRST, LOST], [RUNNING], "lost"),
    "retry of the lost waits": ([QUEUED, FIRST, LOST, RETRIED], [RUNNING], "queued"),
    "retry of the lost is held": ([QUEUED, FIRST, LOST, RETRIED, "held"], [RUNNING], "held"),
    "retry numbered by the attempt that failed": (
        [QUEUED, FIRST, {"event": "retried", "attempt": 1}],
        [(*RUNNING, FAILED)],
        "queued",
    ),
    "retry assigned": ([QUEUED, FIRST, RETRIED, SECOND], [(*RUNNING, FAILED)], "starting"),
    "retry running": ([QUEUED, FIRST, RETRIED, SECOND], [(*RUNNING, FAILED), RUNNING], "running"),
    "retry done": ([QUEUED, FIRST, RETRIED, SECOND], [(*RUNNING, FAILED), (*RUNNING, "done")], "done"),
    "retry cancelled before it began": ([QUEUED, FIRST, RETRIED, "cancelled"], [(*RUNNING, FAILED)], "cancelled"),
    "cancelled before it began": ([QUEUED, {"event": "cancelled", "reason": "asked"}], [], "cancelled"),
    "cancelled by the worker": ([QUEUED, FIRST], [(*RUNNING, "stopping", "cancelled")], "cancelled"),
}


@pytest.mark.parametrize("name", CASES)
def test_state(name: str) -> None:
    control, attempts, expected = CASES[name]
    fold = RunFold().control(_events(*control))
    for number, events in enumerate(attempts, 1):
        fold = fold.events(number, _events(*events))
    assert fold.state().state == expected
    assert fold.state().finished == (expected in ("done", "failed", "cancelled", "lost"))


@pytest.mark.parametrize("name", CASES)
def test_state_is_the_same_event_by_event_and_after_storing(name: str) -> None:
    control, attempts, expected = CASES[name]
    fold = RunFold()
    for event in _events(*control):
        fold = RunFold.from_dict(fold.control([event]).to_dict())
    for number, events in enumerate(attempts, 1):
        for event in _events(*events):
            fold = RunFold.from_dict(fold.events(number, [event]).to_dict())
    assert fold.state().state == expected


def test_details_come_from_the_newest_attempt(tmp_path: Path) -> None:
    run = create_run(Workspace.create(tmp_path), {"run_id": "a"})
    control = Journal(run.control)
    control.append("queued")
    first = Journal(run.new_attempt().events)
    control.append("assigned", attempt=1, worker="w1")
    first.append("starting", host="h", pid=7, device="cpu")
    first.append("running", total=100, unit="tokens")
    first.append("progress", done=40, total=100, phase="training", eta_s=6.0)
    state = run.state()
    assert (state.done, state.total, state.phase, state.eta_s) == (40, 100, "training", 6.0)
    assert (state.pid, state.host, state.device, state.worker) == (7, "h", "cpu", "w1")
    assert state.heartbeat >= state.started
    first.append("failed", reason="loss is NaN", hint="lower lr")
    state = run.state()
    assert (state.state, state.reason, state.hint, state.eta_s) == ("failed", "loss is NaN", "lower lr", None)
    assert state.ended is not None
    control.append("retried", attempt=2)
    control.append("assigned", attempt=2, worker="w2")
    second = Journal(run.new_attempt().events)
    second.append("starting", host="h", pid=8)
    state = run.state()
    assert (state.state, state.attempt, state.done, state.reason, state.pid) == ("starting", 2, 0, "", 8)


def test_an_instance_that_read_on_agrees_with_a_fresh_one(tmp_path: Path) -> None:
    run = create_run(Workspace.create(tmp_path), {"run_id": "a"})
    control, attempt = Journal(run.control), run.new_attempt()
    events = Journal(attempt.events)
    for journal, name in ((control, "queued"), (control, "assigned"), (events, "starting"), (events, "done")):
        journal.append(name, **({"attempt": 1} if name == "assigned" else {}))
        assert run.state() == RunDir(run.path).state()
    assert run.state().state == "done"


def test_journals_count_as_read_only_together(tmp_path: Path) -> None:
    run = create_run(Workspace.create(tmp_path), {"run_id": "a"})
    events = run.new_attempt().events
    Journal(events).append("starting")
    assert run.state().state == "starting"
    Journal(run.control).append("lost", attempt=1, reason="out of sight")
    kept = events.rename(tmp_path / "kept")
    events.mkdir()
    assert (run.state().state, run.unread) == ("starting", True)
    events.rmdir()
    kept.rename(events)
    assert (run.state().reason, run.unread) == ("out of sight", False)
