"""A queue of scripted runs: what its files say, and turning dispatchers over until something is so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from engine.launch.dispatcher import Dispatcher
from store.journal import read_events
from store.workspace import Workspace

DEADLINE_S = 60.0


class ScriptedQueue:
    """A workspace with scripted runs."""

    LOGS = "workers/*/console.log"
    """What is told when something was waited for in vain."""
    PAUSE_S = 0.01

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def state(self, run_id: str) -> str:
        return self.workspace.run(run_id).state().state

    def reason(self, run_id: str) -> str:
        return self.workspace.run(run_id).state().reason

    def attempt(self, run_id: str) -> int:
        return self.workspace.run(run_id).state().attempt

    def running_as(self, run_id: str, attempt: int) -> bool:
        """Whether the run runs in its ``attempt``."""
        state = self.workspace.run(run_id).state()
        return (state.state, state.attempt) == ("running", attempt)

    def events(self, run_id: str, attempt: int = 0) -> list[dict[str, object]]:
        """Those of an attempt; 0 is the control journal."""
        run = self.workspace.run(run_id)
        return read_events(run.attempt(attempt).events if attempt else run.control)[0]

    def said(self, run_id: str) -> list[str]:
        """Names of the events of the control journal."""
        return [str(event["event"]) for event in self.events(run_id)]

    def until(self, condition: Callable[[], bool], *dispatchers: Dispatcher) -> None:
        """Tick until the condition holds; fail at the deadline with everything there is to know."""
        deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
        while not condition():
            for dispatcher in dispatchers:
                dispatcher.tick()
            if time.monotonic() > deadline:
                runs = self.workspace.run_ids()
                told = "\n".join(f"{run_id}: {self.workspace.run(run_id).state()}" for run_id in runs)
                logs = "\n".join(log.read_text() for log in self.workspace.root.glob(self.LOGS))
                pytest.fail(f"waited {DEADLINE_S} s in vain\n{told}\n{logs}")
            pause.wait(self.PAUSE_S)
