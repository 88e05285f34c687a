"""Runs as the scheduler and a worker write them: through journals and shards, at times of a pretended clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from engine.spec.run import Job, RunSpec
from engine.spec.strict import content_key
from store.files import write_json
from store.run_dir import AttemptDir, RunDir, create_run
from store.shards import write_shard
from store.workspace import Workspace

EPOCH = 1_790_000_000.0
HOST = "synthetic-host"


class Clock:
    """Seconds that pass only when told to, so that the same workspace has the same times."""

    def __init__(self) -> None:
        self.now = EPOCH

    def tick(self, seconds: float = 1.0) -> float:
        self.now += seconds
        return self.now


class Lines:
    """A journal's lines, gathered and written at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[str] = []

    def add(self, event: str, *, after_s: float = 1.0, **fields: Any) -> None:
        line = {"seq": len(self._lines), "t": self._clock.tick(after_s), "event": event, **fields}
        self._lines.append(json.dumps(line, ensure_ascii=False))

    @property
    def text(self) -> str:
        return "".join(line + "\n" for line in self._lines)


class RunWriter:
    """Writes one run: specification, the scheduler's journal, one attempt. ``end`` writes the journals out."""

    def __init__(self, workspace: Workspace, spec: RunSpec, clock: Clock) -> None:
        self.workspace = workspace
        self.spec = spec
        self.run: RunDir = create_run(workspace, spec.content())
        self._control, self._events = Lines(clock), Lines(clock)
        self._attempt: AttemptDir | None = None
        self._control.add("queued")

    @property
    def run_id(self) -> str:
        return self.spec.run_id

    def start(self, total: float, unit: str, identity: Mapping[str, Any] | None = None) -> None:
        self._attempt = self.run.new_attempt()
        self._control.add("assigned", attempt=1, worker="w1")
        self.emit(
            "starting",
            **(identity or {"host": HOST, "pid": 1, "pid_started": EPOCH, "boot_id": "synthetic"}),
            device="cpu",
            versions={"python": "3.11", "torch": "2.13.0", "transformers": "5.23.0", "odyssey": "0.1.0"},
            git="",
        )
        self.emit("running", total=total, unit=unit)

    def emit(self, event: str, **fields: Any) -> None:
        self._events.add(event, **fields)

    def shard(self, kind: str, table: pa.Table) -> str:
        return write_shard(self.attempt.spool, kind, table)

    @property
    def attempt(self) -> AttemptDir:
        if self._attempt is None:
            raise ValueError(f"{self.run_id} has not started")
        return self._attempt

    def end(self, event: str | None = "done", **fields: Any) -> RunDir:
        """Close with ``event``; None leaves the run as it is, with a ticket in the queue."""
        if event is not None:
            self.emit(event, **fields)
        else:
            ticket = {"run_id": self.run_id, "priority": 1.0, "enqueued": EPOCH}
            write_json(self.workspace.tickets / f"{self.run_id}.json", ticket)
        self.run.control.write_text(self._control.text)
        if self._attempt is not None:
            self._attempt.events.write_text(self._events.text)
            self._attempt.console.write_text(f"{self.run_id} on cpu\n")
        return self.run


def make_spec(name: str, job: Job, labels: Mapping[str, Any], needs: tuple[str, ...] = ()) -> RunSpec:
    """A specification as planning makes it: the identifier names its content."""
    run_id = f"{name}-{content_key([name, job.content()], 8)}"
    return RunSpec(
        run_id=run_id, name=name, experiment="demo", needs=needs, labels=dict(labels), cost_flops=1e12, job=job
    )
