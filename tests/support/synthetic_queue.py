"""A queue as files: runs of two sweeps that wait, one that runs, one that failed and one that it holds."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from engine.launch.process import Identity
from store.files import write_json
from store.run_dir import RunDir
from store.workspace import Workspace


def queue_runs(path: Path, *, waiting: int = 3, host: str = "") -> Workspace:
    """``waiting`` runs each of the sweeps ``a`` and ``b``, then the others; ``host`` is where one runs, else here."""
    workspace, now = Workspace.create(path), time.time()
    for index, (sweep, number) in enumerate((sweep, number) for sweep in "ab" for number in range(waiting)):
        _wait(workspace, f"{sweep}-{number}", sweep, now + index * 1e-3)
    _execute(_wait(workspace, "run-0", "a", now), now, host)
    _fail(_write(workspace, "bad-0", "b", ()), now)
    blocked = _wait(workspace, "blocked-0", "b", now + 1, needs=("bad-0",))
    _append(blocked.control, ("held", {"reason": "needs bad-0, which failed"}), t=now, seq=1)
    return workspace


def _wait(workspace: Workspace, run_id: str, sweep: str, enqueued: float, needs: Sequence[str] = ()) -> RunDir:
    run = _write(workspace, run_id, sweep, needs)
    ticket = {"run_id": run_id, "priority": 1.0, "enqueued": enqueued}
    write_json(workspace.tickets / f"{run_id}.json", ticket)
    _append(run.control, ("queued", {}), t=enqueued, seq=0)
    return run


def _write(workspace: Workspace, run_id: str, sweep: str, needs: Sequence[str]) -> RunDir:
    run = workspace.run(run_id)
    (run.path / "attempts").mkdir(parents=True)
    name = run_id.removesuffix("-0") if run_id.endswith("-0") and len(run_id) > 3 else run_id
    spec = {"format": 1, "run_id": run_id, "name": name, "experiment": sweep, "labels": {}, "seed": 0}
    write_json(run.spec_path, {**spec, "needs": list(needs), "cost_flops": 1e9, "job": {"kind": "adapt"}})
    return run


def _execute(run: RunDir, now: float, host: str) -> None:
    """As if this process were its worker, 40 % through."""
    me = Identity.current()
    attempt = run.new_attempt()
    _append(run.control, ("assigned", {"attempt": 1, "worker": "w1"}), t=now, seq=1)
    identity = {"host": host or me.host, "pid": me.pid, "pid_started": me.pid_started, "boot_id": me.boot_id}
    progress = {"done": 40, "total": 100, "phase": "training", "eta_s": 90.0}
    events = [("starting", identity), ("running", {"total": 100, "unit": "tokens"}), ("progress", progress)]
    for seq, event in enumerate(events):
        _append(attempt.events, event, t=now, seq=seq)


def _fail(run: RunDir, now: float) -> None:
    _append(run.control, ("queued", {}), t=now, seq=0)
    attempt = run.new_attempt()
    _append(attempt.events, ("failed", {"reason": "the loss became NaN at step 6"}), t=now, seq=0)


def _append(journal: Path, event: tuple[str, dict[str, object]], *, t: float, seq: int) -> None:
    name, fields = event
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"seq": seq, "t": t, "event": name, **fields}) + "\n")
