"""The attempts of a run in sentences: from where each went on, and why the one before ended."""

from __future__ import annotations

from odyssey_tui.services.attempts import read_history
from store.journal import Journal
from store.run_dir import create_run


def test_every_later_attempt_says_where_it_began_and_why(empty):
    run = create_run(empty, {"run_id": "some-run"})
    control = Journal(run.control)
    for events in (
        [("starting", {}), ("failed", {"reason": "no space left on tmpfs at /x (0 MB free)"})],
        [("resumed", {"tokens": 1_250_000, "step": 10, "state": "trunk", "from_attempt": 1})],
        [("starting", {})],
        [("resumed", {"tokens": 2_000_000, "step": 20, "state": "trunk", "from_attempt": 3})],
    ):
        journal = Journal(run.new_attempt().events)
        for name, fields in events:
            journal.append(name, **fields)
        journal.close()
    control.append("retried", attempt=2, by="user")
    control.append("lost", attempt=2, reason="its worker was ended by SIGKILL")
    control.append("retried", attempt=3, by="scheduler")
    control.append("retried", attempt=4, by="worker", reason="the worker was told to end; it exited with status 0")
    control.close()
    assert read_history(run) == (
        "attempt 2 went on from 1.25M tokens; the one before failed: no space left on tmpfs at /x (0 MB free)",
        "attempt 3 began anew; the one before was lost: its worker was ended by SIGKILL",
        "attempt 4 went on from 2M tokens; the one before stopped: the worker was told to end; it exited with status 0",
    )


def test_a_single_attempt_has_no_history(empty):
    run = create_run(empty, {"run_id": "some-run"})
    run.new_attempt()
    assert read_history(run) == ()
