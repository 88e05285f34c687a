"""Waiting for a queue that a scheduler works on."""

from __future__ import annotations

import threading
import time

import pytest

from engine.launch.queue_state import queue_state
from store.workspace import Workspace


def wait_for_all(workspace: Workspace, deadline_s: float) -> None:
    """Until every run is done; the test fails when one cannot be any more, or after ``deadline_s`` seconds."""
    deadline, pause = time.monotonic() + deadline_s, threading.Event()
    while queue_state(workspace).total:
        states = {run_id: workspace.run(run_id).state() for run_id in workspace.run_ids()}
        if all(state.state == "done" for state in states.values()):
            return
        failed = {run_id: state.reason for run_id, state in states.items() if state.state in ("failed", "lost", "held")}
        if failed or time.monotonic() > deadline:
            pytest.fail(f"not done: {failed or {run_id: state.state for run_id, state in states.items()}}")
        pause.wait(0.05)
